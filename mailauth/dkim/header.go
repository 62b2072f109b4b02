package dkim

import (
	"bytes"
	"errors"

	"github.com/postroad/postroad/internal/message"
)

// The errors for headers that are not signed, ErrLineEnds aside. RFC 6376 8.15 tells of what comes
// of signing what is not as RFC 5322 has it.
var (
	ErrNoField = errors.New("the message has a line in its header that is no field")
	ErrNoFrom  = errors.New("the message has no From field")
	ErrTwoFrom = errors.New("the message has more than one From field")
	ErrTooMany = errors.New("the message has more header fields than a signature covers")
)

// maxListed bounds the names in the h= tag of a signature.
const maxListed = 250

// header is the fields of a message.
type header struct {
	fields []message.Field
	used   []bool // by covered
}

// parseHeader returns the fields of a header that every reader takes for the same ones.
func parseHeader(raw []byte) (*header, error) {
	if !properEnds(raw) {
		return nil, ErrLineEnds
	}
	h := &header{fields: make([]message.Field, 0, 40)}
	from := 0
	for f := range message.Fields(raw) {
		// White space before the colon is of RFC 822. Some verifiers take no part of a message for
		// a header that has it.
		if f.Name == nil || f.Raw[len(f.Name)] != ':' {
			return nil, ErrNoField
		}
		if f.Is("From") {
			from++
		}
		h.fields = append(h.fields, f)
	}
	switch {
	case from == 0:
		return nil, ErrNoFrom
	case from > 1:
		return nil, ErrTwoFrom
	}
	h.used = make([]bool, len(h.fields))
	return h, nil
}

// properEnds reports whether each line ends with CRLF, and no CR is anywhere else.
func properEnds(raw []byte) bool {
	for len(raw) > 0 {
		i := bytes.IndexByte(raw, '\r')
		if i < 0 || i+1 == len(raw) || raw[i+1] != '\n' || bytes.IndexByte(raw[:i], '\n') >= 0 {
			return false
		}
		raw = raw[i+2:]
	}
	return true
}

// list appends the names of the h= tag to names: each as often as there are fields of it, and once
// more where no other may come.
func (h *header) list(names []string, fields []Field) ([]string, error) {
	for _, f := range fields {
		n := 0
		for i := range h.fields {
			if h.fields[i].Is(f.Name) {
				n++
			}
		}
		if f.Cover == OverSigned || f.Cover == NoSecond && n > 0 {
			n++
		}
		if len(names)+n > maxListed {
			return nil, ErrTooMany
		}
		for range n {
			names = append(names, f.Name)
		}
	}
	return names, nil
}

// appendCovered appends the fields that a list of names stands for, in their canonical form: for
// each name the last field of it that no name before stands for, and nothing if there is none (RFC
// 6376 5.4.2). So a verifier does it too.
func (h *header) appendCovered(b []byte, names []string, form Canon) []byte {
	clear(h.used)
	for _, name := range names {
		for i := len(h.fields) - 1; i >= 0; i-- {
			if f := &h.fields[i]; !h.used[i] && f.Is(name) {
				h.used[i] = true
				b = appendField(b, f.Raw, form)
				break
			}
		}
	}
	return b
}

func appendField(b, raw []byte, form Canon) []byte {
	if form == Simple {
		return message.AppendSimple(b, raw)
	}
	return message.AppendRelaxed(b, raw)
}
