package dsn

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/postroad/postroad/internal/smtp"
)

// maxDiagnostic bounds a peer's words in a field or sentence, in octets.
const maxDiagnostic = 900

// safe makes a value fit for a line: control characters, and beyond what the report may carry
// characters outside ASCII, become question marks.
func (o *writer) safe(s string) string {
	if len(s) > maxDiagnostic {
		s = s[:maxDiagnostic]
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r < ' ' || r == 0x7f || r == utf8.RuneError:
			return '?'
		case r > 0x7f && (!o.utf8 || !unicode.IsPrint(r)):
			return '?'
		}
		return r
	}, s)
}

// typed returns "addr-type;address" as it may be written: where UTF-8 may not stand, a utf-8
// address is written with \x{HEX} (RFC 6533 3, utf-8-addr-xtext).
func (o *writer) typed(s string) string {
	if o.utf8 || smtp.IsASCII(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if r < 0x80 && !strings.ContainsRune(`\+= `, r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\x{%02X}`, r)
		}
	}
	return b.String()
}

// fold breaks a field at spaces so that its lines stay under 78 octets where they can (RFC 5322
// 2.1.1, 2.2.3).
func fold(field string) string {
	const width = 78
	if len(field) <= width {
		return field + "\r\n"
	}
	var b strings.Builder
	used := 0
	for i, word := range strings.Split(field, " ") {
		// not after the name: a line of white space alone is obsolete syntax
		if i > 1 && word != "" && used+1+len(word) > width {
			b.WriteString("\r\n")
			used = 0
		}
		if i > 0 {
			b.WriteByte(' ')
			used++
		}
		b.WriteString(word)
		used += len(word)
	}
	return b.String() + "\r\n"
}

// inWords returns about how long d is, as people say it: "100 seconds", "5 days".
func inWords(d time.Duration) string {
	for _, unit := range [...]struct {
		of   time.Duration
		name string
	}{{24 * time.Hour, "days"}, {time.Hour, "hours"}, {time.Minute, "minutes"}} {
		if d >= 2*unit.of {
			return strconv.FormatInt(int64(d.Round(unit.of)/unit.of), 10) + " " + unit.name
		}
	}
	if d < 2*time.Second {
		return "a second"
	}
	return strconv.FormatInt(int64(d.Round(time.Second)/time.Second), 10) + " seconds"
}

func subject(r *Report) string {
	switch {
	case r.has(Failed):
		return "Undelivered mail returned to sender"
	case r.has(Delayed):
		return "Delayed mail (still being retried)"
	}
	return "Successful mail delivery report"
}

// explanation writes the part for people: what happened, and what to do.
func (o *writer) explanation(r *Report) {
	charset := "us-ascii"
	if o.utf8 {
		charset = "utf-8"
	}
	o.part("text/plain; charset="+charset, "Notification", "")
	o.line("This is the mail system at " + r.Host + ".")
	o.line("")
	for _, group := range [...]struct {
		action Action
		text   []string
	}{
		{Failed, []string{"Your message could not be delivered to the recipients below. It " +
			"will not be", "tried again."}},
		{Delayed, []string{"Your message has not been delivered yet to the recipients below. " +
			"YOU DO NOT", "NEED TO SEND IT AGAIN: it is still being tried."}},
		{Delivered, []string{"Your message was delivered to the recipients below."}},
		{Relayed, []string{"Your message was handed on for the recipients below to a mail " +
			"system that does",
			"not report further. This does not prove that it was delivered or read."}},
		{Expanded, []string{"Your message was passed on to several recipients for each address " +
			"below."}},
	} {
		if !r.has(group.action) {
			continue
		}
		for _, line := range group.text {
			o.line(line)
		}
		o.line("")
		for i := range r.Recipients {
			if r.Recipients[i].Action == group.action {
				o.outcome(&r.Recipients[i])
			}
		}
	}
	if !r.OriginalID.IsZero() {
		o.line("If you need help, forward this report to the postmaster and quote " +
			r.OriginalID.String() + ".")
	}
}

func (o *writer) outcome(rcpt *Recipient) {
	o.line("  <" + rcpt.Address + ">")
	if said := rcpt.said(); said != "" {
		if rcpt.Tried > 0 {
			o.line("    It was " + rcpt.gaveUp() + ".")
		}
		o.line("    " + cmp.Or(rcpt.Attempt.Remote, "The recipient's mail system") + " said: " +
			said)
	} else if found := rcpt.found(); found != "" {
		o.line("    " + found)
	}
	if rcpt.Action == Failed {
		o.line("    What to do: " + advice(rcpt.status()))
	}
	if rcpt.Action == Delayed && !rcpt.RetryUntil.IsZero() {
		o.line("    It will be tried until " + date(rcpt.RetryUntil) + ".")
	}
	o.line("")
}

// advice says what the sender can do about an enhanced status code (RFC 3463 3).
func advice(enhanced string) string {
	_, detail, _ := strings.Cut(enhanced, ".")
	if text, ok := adviceFor[detail]; ok {
		return text
	}
	subject, _, _ := strings.Cut(detail, ".")
	if text, ok := adviceFor[subject]; ok {
		return text
	}
	return "contact the recipient in another way, or ask your postmaster."
}

var adviceFor = map[string]string{
	"1":    "check the address for typing errors and send the message again.",
	"1.2":  "check the part after the @: no such mail domain could be found.",
	"1.10": "use another address: this domain does not accept mail.",
	"2":    "the mailbox cannot take mail at present; contact the recipient in another way.",
	"2.2":  "the mailbox is full; try again later, or contact the recipient in another way.",
	"2.3":  "make the message smaller: it is larger than this mailbox accepts.",
	"3.4":  "make the message smaller: it is larger than the remote mail system accepts.",
	"4":    "the remote mail system could not be reached; check the address, or try again later.",
	"4.6":  "the message went round in a circle; ask the recipient's postmaster.",
	"4.7":  "try again later, or contact the recipient in another way.",
	"6": "send it as plain text or without special characters: the remote mail system cannot " +
		"take this form.",
	"7": "the remote mail system refuses the message by its rules; ask the recipient or your " +
		"postmaster.",
}
