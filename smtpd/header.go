package smtpd

import (
	"bytes"

	"github.com/postroad/postroad/internal/message"
)

// headerScan reads the header of a message as it streams by: it counts the Received fields, by
// which loops are found (RFC 5321 6.3), and takes out the campaign field, whose value the
// operator's statistics want and the recipient should not see. Only the start of a line whose rest
// has not come yet is held back, so that the scan costs no copy.
type headerScan struct {
	fields   message.Scanner
	campaign string // the name of the field to take out, "" for none
	value    []byte // of the first campaign field, raw
	received int

	begun    bool // what the first line is is known
	dropping bool // in a campaign field
	taking   bool // in the first one
}

// maxCampaign is how many octets a campaign's name may have; the rest of a longer value is cut off.
const maxCampaign = 128

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
			if h.taking {
				h.value = append(h.value, p[i:min(end, i+maxCampaign-len(h.value))]...)
			}
		case message.More:
			out.append(p[from:i])
			return
		default:
			h.dropping, h.taking = false, false
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
	h.dropping, h.taking = false, false
	if message.Is(name, "Received") {
		h.received++
	} else if h.campaign != "" && message.Is(name, h.campaign) {
		h.dropping, h.taking = true, len(h.value) == 0
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
