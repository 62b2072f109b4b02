package archive

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// An mbox parts messages with a line of "From ", the envelope's sender and the date of delivery as
// asctime writes it (RFC 4155, appendix A). The date tells such a line from text that begins with
// the word. RFC 4155 wants the date in UTC without a zone. Programs also write a zone before or
// after the year, leave out the seconds, write the date of RFC 5322, or add "remote from HOST"
// (UUCP). Thunderbird has "-" for the sender, and archives of lists have "alice at example.net".

// maxSeparator bounds a separator in octets. A path of RFC 5321 has 256 at most, one of UUCP could
// be longer.
const maxSeparator = 4 << 10

var fromWord = []byte("From ")

// separator reports whether a line parts messages, and returns its date: the zero time for a year
// that no mail has.
func separator(line []byte) (at time.Time, ok bool) {
	if len(line) > maxSeparator || !bytes.HasPrefix(line, fromWord) {
		return at, false
	}
	words := strings.Fields(string(line[len(fromWord):]))
	// A sender may have any number of words, and the name of a day may be one of them.
	for i, word := range words {
		if isName(strings.TrimSuffix(word, ","), days) {
			if at, ok = envelopeDate(words[i:]); ok {
				return at, true
			}
		}
	}
	return at, false
}

const (
	days   = "sunmontuewedthufrisat"
	months = "janfebmaraprmayjunjulaugsepoctnovdec"
)

// isName reports whether a word is one of the names of three letters.
func isName(word, names string) bool { return nameOf(word, names) > 0 }

// nameOf returns which of the names of three letters a word is, from 1, or 0.
func nameOf(word, names string) int {
	if len(word) != 3 {
		return 0
	}
	if i := strings.Index(names, strings.ToLower(word)); i >= 0 && i%3 == 0 {
		return i/3 + 1
	}
	return 0
}

// envelopeDate reads the words from the name of the day to the end of the line.
func envelopeDate(words []string) (at time.Time, ok bool) {
	if len(words) < 5 {
		return at, false
	}
	month, day, clock, tail := words[1], words[2], words[3], words[4:]
	if number(words[1], 1, 2) > 0 && nameOf(words[2], months) > 0 {
		// RFC 5322 3.3: "Mon, 2 Jan 2006 15:04:05 -0700"
		day, month, clock = words[1], words[2], words[4]
		tail = append([]string{words[3]}, words[5:]...)
	}
	m, d := nameOf(month, months), number(day, 1, 2)
	since, ok := timeOfDay(clock)
	if !ok || m == 0 || d < 1 || d > 31 {
		return at, false
	}
	year, offset, ok := yearAndZone(tail)
	if !ok {
		return at, false
	}
	if year > 9999 {
		return at, true
	}
	at = time.Date(year, time.Month(m), d, 0, 0, 0, 0, time.UTC)
	return at.Add(since - offset), true
}

// timeOfDay reads hours, minutes and, where they are, seconds. 60 is a leap second.
func timeOfDay(s string) (since time.Duration, ok bool) {
	parts := strings.Split(s, ":")
	if len(parts) != 2 && len(parts) != 3 {
		return 0, false
	}
	units := []time.Duration{time.Hour, time.Minute, time.Second}
	for i, most := range []int{23, 59, 60}[:len(parts)] {
		n := number(parts[i], 1, 2)
		if n < 0 || n > most {
			return 0, false
		}
		since += time.Duration(n) * units[i]
	}
	return since, true
}

// yearAndZone reads what follows the time of day: a year with the words of a zone before or after
// it, and UUCP's suffix.
func yearAndZone(words []string) (year int, offset time.Duration, ok bool) {
	year = -1
	zones := 0
	for i, word := range words {
		if n := number(word, 4, 9); n >= 0 && year < 0 {
			year = n
		} else if o, is := zone(word); is && zones < 2 {
			offset += o
			zones++
		} else {
			suffix := words[i:]
			ok = len(suffix) == 3 && suffix[0] == "remote" && suffix[1] == "from"
			return year, offset, ok && year >= 0
		}
	}
	return year, offset, year >= 0
}

// zones are those of RFC 5322 4.3 and the common ones of Europe. Others count as UTC.
var zones = map[string]time.Duration{
	"EST": -5 * time.Hour, "EDT": -4 * time.Hour, "CST": -6 * time.Hour, "CDT": -5 * time.Hour,
	"MST": -7 * time.Hour, "MDT": -6 * time.Hour, "PST": -8 * time.Hour, "PDT": -7 * time.Hour,
	"BST": time.Hour, "CET": time.Hour, "MET": time.Hour, "CEST": 2 * time.Hour,
	"MEST": 2 * time.Hour, "EET": 2 * time.Hour, "EEST": 3 * time.Hour,
	"DST": time.Hour, // a second word: "MET DST"
}

// zone reads a word of a zone: an offset, or up to five capital letters.
func zone(word string) (offset time.Duration, ok bool) {
	if sign := word[0]; sign == '+' || sign == '-' {
		n := number(strings.Replace(word[1:], ":", "", 1), 4, 4)
		if n < 0 || n%100 > 59 {
			return 0, false
		}
		offset = time.Duration(n/100)*time.Hour + time.Duration(n%100)*time.Minute
		if sign == '-' {
			offset = -offset
		}
		return offset, true
	}
	name := strings.TrimSuffix(strings.TrimPrefix(word, "("), ")")
	letters := func(r rune) bool { return r < 'A' || r > 'Z' }
	if name == "" || len(name) > 5 || strings.ContainsFunc(name, letters) {
		return 0, false
	}
	return zones[name], true
}

// number returns the value of a word of least to most digits, or -1.
func number(word string, least, most int) int {
	if len(word) < least || len(word) > most || strings.Trim(word, "0123456789") != "" {
		return -1
	}
	n, err := strconv.Atoi(word)
	if err != nil {
		return -1
	}
	return n
}
