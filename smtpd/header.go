package smtpd

import "bytes"

// headerScan reads the header of a message as it streams by: it counts the Received fields, by
// which loops are found (RFC 5321 6.3), and takes out the campaign field, whose value the
// operator's statistics want and the recipient should not see. Only the start of a line whose rest
// has not come yet is held back, so that the scan costs no copy.
type headerScan struct {
	campaign string // the name of the field to take out, "" for none
	value    []byte // of the first campaign field, raw
	received int

	at      headerAt
	dropped bool // the field before this line was taken out, and its continuation lines go with it
	taken   bool // value is complete: later campaign fields are only taken out
	held    int  // octets of line that are held back
	line    [maxFieldName]byte
}

type headerAt uint8

const (
	atLineStart headerAt = iota
	atLineRest           // in a line that stays
	atDropped            // in the campaign field
	atBody
)

const (
	// maxFieldName bounds what is held back to tell a line's field name; what we look for is
	// shorter.
	maxFieldName = 64
	maxCampaign  = 128 // octets of a campaign's name; the rest of a longer value is cut off
)

// appender takes the octets that stay.
type appender interface{ append(p []byte) }

// scan looks at the next octets of a message and hands those that stay to out.
func (h *headerScan) scan(p []byte, out appender) {
	if h.held > 0 {
		p = h.finishHeld(p, out)
	}
	from := 0 // p[from:i] stays and is not handed over yet
	for i := 0; i < len(p) && h.at != atBody; {
		switch h.at {
		case atLineStart:
			name, verdict := h.classify(p[i:])
			switch verdict {
			case unclear:
				out.append(p[from:i])
				h.held = copy(h.line[:], p[i:])
				return
			case drop:
				out.append(p[from:i])
				i += name
				from = i
			}
		case atLineRest:
			i = h.endOfLine(p, i)
		case atDropped:
			end := h.endOfLine(p, i)
			h.collect(p[i:end])
			i, from = end, end
		}
	}
	out.append(p[from:])
}

// endOfLine returns the place after the line that p[i] is in, and moves to the next line if that is
// in p.
func (h *headerScan) endOfLine(p []byte, i int) int {
	eol := bytes.IndexByte(p[i:], '\n')
	if eol < 0 {
		return len(p)
	}
	h.at = atLineStart
	return i + eol + 1
}

// finishHeld completes the start of a line that was held back, and returns what is left of p.
func (h *headerScan) finishHeld(p []byte, out appender) []byte {
	held := h.held
	n := copy(h.line[held:], p)
	name, verdict := h.classify(h.line[:held+n])
	if verdict == unclear {
		h.held += n
		return nil
	}
	h.held = 0
	if verdict == drop {
		return p[name-held:] // what was held back had no colon, so that name > held
	}
	out.append(h.line[:held])
	return p
}

// flush hands over what is held back when the message ends inside a line's start.
func (h *headerScan) flush(out appender) {
	out.append(h.line[:h.held])
	h.held = 0
}

type verdict uint8

const (
	keep verdict = iota
	drop
	unclear
)

// classify looks at the start of a line and moves to where its rest belongs, unless the start does
// not tell yet. For a line to drop it also returns the length of the name with its colon.
func (h *headerScan) classify(line []byte) (name int, v verdict) {
	if line[0] == ' ' || line[0] == '\t' { // folded, RFC 5322 2.2.3
		if h.dropped {
			h.at = atDropped
			return 0, drop
		}
		h.at = atLineRest
		return 0, keep
	}
	h.dropped = false
	if len(h.value) > 0 {
		h.taken = true
	}
	end := endOfName(line[:min(len(line), maxFieldName)])
	if end < 0 && len(line) < maxFieldName {
		return 0, unclear
	}
	h.at = atLineRest
	switch {
	case end < 0:
	case line[end] == '\n':
		if end == 0 || end == 1 && line[0] == '\r' {
			h.at = atBody
		}
	default:
		field := bytes.TrimRight(line[:end], " \t") // RFC 5322 4.5 has a space before the colon
		if equalFold(field, "received") {
			h.received++
		} else if h.campaign != "" && equalFold(field, h.campaign) {
			h.at, h.dropped = atDropped, true
			return end + 1, drop
		}
	}
	return 0, keep
}

// endOfName returns the place of the first colon or LF, or -1.
func endOfName(line []byte) int {
	for i, c := range line {
		if c == ':' || c == '\n' {
			return i
		}
	}
	return -1
}

// collect gathers the value of the first campaign field.
func (h *headerScan) collect(p []byte) {
	if !h.taken {
		h.value = append(h.value, p[:min(len(p), maxCampaign-len(h.value))]...)
	}
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

// equalFold reports whether b is s, case of ASCII letters aside.
func equalFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		d := s[i]
		if c != d && (c|0x20 != d|0x20 || c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return true
}
