package maillog

import (
	"strconv"
	"time"
)

// appendUTC appends a time as "2006-01-02T15:04:05.000Z". It costs a third of Time.AppendFormat,
// which would be the most expensive part of a line.
func appendUTC(b []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	b = append(strconv.AppendInt(b, int64(year), 10), '-')
	b = append(append2(b, int(month)), '-')
	b = append(append2(b, day), 'T')
	b = appendClock(b, hour, minute, second)
	milli := t.Nanosecond() / int(time.Millisecond)
	b = append(b, '.', byte('0'+milli/100))
	return append(append2(b, milli%100), 'Z')
}

// appendSyslogTime appends a time as "Jan _2 15:04:05 ", local as in all mail logs.
func appendSyslogTime(b []byte, t time.Time) []byte {
	_, month, day := t.Date()
	hour, minute, second := t.Clock()
	b = append(append(b, month.String()[:3]...), ' ')
	if day < 10 {
		b = append(b, ' ', byte('0'+day))
	} else {
		b = append2(b, day)
	}
	return append(appendClock(append(b, ' '), hour, minute, second), ' ')
}

func appendClock(b []byte, hour, minute, second int) []byte {
	b = append(append2(b, hour), ':')
	b = append(append2(b, minute), ':')
	return append2(b, second)
}

// append2 appends a number of 0 to 99 with two digits.
func append2(b []byte, n int) []byte { return append(b, byte('0'+n/10), byte('0'+n%10)) }
