package smtpd

import (
	"bytes"

	"github.com/postroad/postroad/internal/message"
)

// headerScan reads the header of a message as it streams by: it counts the Received fields, by
// which loops are found (RFC 5321 6.3), keeps the Message-ID for the log, and takes out the
// campaign field, whose value the operator's statistics want and the recipient should not see. Only
// the start of a line whose rest has not come yet is held back, so that the scan costs no copy.
type headerScan struct {
	fields   message.Scanner
	campaign string // the name of the field to take out, "" for none
	received int

	begun     bool        // what the first line is is known
	dropping  bool        // in a campaign field
	taking    *firstValue // of the field that it is in, if that is wanted
	value     firstValue  // of the campaign field
	messageID firstValue  // of Message-ID (RFC 5322 3.6.4)
}

// firstValue is the raw value of the first field of a name, as far as there is room for it.
type firstValue []byte

// Octets that are kept of a value; the rest of a longer one is cut off. A header line has at most
// 998 (RFC 5322 2.1.1).
const (
	maxCampaign  = 128
	maxMessageID = 1000
)

// take returns v for the first field of its name that has a value, else nil.
func (v *firstValue) take() *firstValue {
	if len(*v) > 0 {
		return nil
	}
	return v
}

// add keeps what there is room for.
func (v *firstValue) add(p []byte, most int) {
	*v = append(*v, p[:max(0, min(len(p), most-len(*v)))]...)
}

// appender takes the octets that stay.
type appender interface{ append(p []byte) }

// scan looks at the next octets of a message and hands those that stay to out.
func (h *headerScan) scan(p []byte, out appender) {
	from := 0 // p[from:i] stays and is not handed over yet
	for i, end := 0, 0; i < len(p); i = end {
		kind, n := h.fields.Next(p[i:])
		end = i + n
		if !h.begun && kind != message.More {
			if h.begun = true; kind == message.Junk && !isFromLine(h.fields.Held(), p[i:]) {
				h.noHeader(out)
				out.append(p[i:])
				return
			}
		}
		switch kind {
		case message.Name:
			if h.begin(h.fields.Name(p[i:])); h.dropping {
				out.append(p[from:i])
			}
		case message.Value:
			if h.taking == &h.messageID {
				h.taking.add(p[i:end], maxMessageID)
			} else if h.taking != nil {
				h.taking.add(p[i:end], maxCampaign)
			}
		case message.More:
			out.append(p[from:i])
			return
		default:
			h.dropping, h.taking = false, nil
		}
		if h.dropping {
			from = end
		} else if i == 0 && len(h.fields.Held()) > 0 { // of a line that an earlier piece began
			out.append(h.fields.Held())
		}
	}
	out.append(p[from:])
}

// begin looks at the name of the field that begins.
func (h *headerScan) begin(name []byte) {
	h.dropping, h.taking = false, nil
	switch {
	case message.Is(name, "Received"):
		h.received++
	case h.campaign != "" && message.Is(name, h.campaign):
		h.dropping, h.taking = true, h.value.take()
	case message.Is(name, "Message-ID"):
		h.taking = h.messageID.take()
	}
}

// noHeader puts an empty line in front of a message that has no header, so that its first line is
// no part of the fields that we write above it. What it has held back comes next.
func (h *headerScan) noHeader(out appender) {
	out.append([]byte("\r\n"))
	out.append(h.fields.Held())
	h.fields.End()
}

// isFromLine reports whether a line is the first one of an mbox, which some programs leave in front
// of the header.
func isFromLine(held, rest []byte) bool {
	line := append(append(make([]byte, 0, 8), held[:min(len(held), 6)]...), rest[:min(len(rest),
		6)]...)
	return bytes.HasPrefix(bytes.TrimPrefix(line, []byte(">")), []byte("From "))
}

// flush hands over what is held back when the message ends inside a line's start.
func (h *headerScan) flush(out appender) {
	if !h.begun && len(h.fields.Pending()) > 0 {
		out.append([]byte("\r\n"))
	}
	out.append(h.fields.Pending())
}

// campaignName returns the value of the campaign field: printable ASCII only, since it becomes a
// label in reports.
func (h *headerScan) campaignName() string {
	name := bytes.TrimSpace(h.value)
	for _, c := range name {
		if c < ' ' || c > '~' {
			return ""
		}
	}
	return string(name)
}

// messageIDValue returns the value of Message-ID with its angle brackets, without what stands
// around them; what has none as a whole.
func (h *headerScan) messageIDValue() string {
	v := bytes.TrimSpace(h.messageID)
	if from := bytes.IndexByte(v, '<'); from >= 0 {
		if n := bytes.IndexByte(v[from:], '>'); n >= 0 {
			v = v[from : from+n+1]
		}
	}
	return string(v)
}

// reuse returns an empty scan with the memory of this one.
func (h *headerScan) reuse() (fresh headerScan) {
	fresh.value, fresh.messageID = h.value[:0], h.messageID[:0]
	return fresh
}
