package maillog

import (
	"bytes"
	"time"
)

// form is the form of lines. Nobody changes one.
type form struct {
	json, prefix, journal bool
	host, pid             string
}

// program is what names us in a line's prefix, before a slash and a component.
const program = "postroad"

// begin appends what stands before the members of a line in JSON, or before its words. The
// component is "" for what no part of the server in particular says.
func (f *form) begin(b []byte, at time.Time, component, level string) []byte {
	if f.journal {
		b = appendJournalHead(b, component, level)
	}
	if !f.json && !f.prefix {
		return b
	}
	if at.IsZero() {
		at = time.Now()
	}
	if f.json {
		b = append(b, `{"time":"`...)
		b = appendUTC(b, at)
		b = append(append(b, `","level":"`...), level...)
		b = appendProgram(append(b, `","program":"`...), component)
		return append(b, `",`...)
	}
	b = appendSyslogTime(b, at)
	b = appendProgram(append(append(b, f.host...), ' '), component)
	b = append(append(b, '['), f.pid...)
	return append(b, "]: "...)
}

// appendProgram appends "postroad/smtp", as Postfix names its programs.
func appendProgram(b []byte, component string) []byte {
	b = append(b, program...)
	if component != "" {
		b = append(append(b, '/'), component...)
	}
	return b
}

var msgMember = []byte(`"msg":"`)

// words appends what stands right before the words of a line.
func (f *form) words(b []byte) []byte {
	if f.json {
		return append(b, msgMember...)
	}
	return b
}

// end ends a line whose words are its last.
func (f *form) end(b []byte) []byte {
	if f.json {
		// what is before the member was escaped, so that its name is nowhere else
		return append(escapeFrom(b, bytes.Index(b, msgMember)+len(msgMember)), "\"}\n"...)
	}
	return append(b, '\n')
}
