package mail

import (
	"bytes"

	"github.com/postroad/postroad/bench/record"
)

// headerLimit is how much of a header is searched for the Marker.
const headerLimit = 64 << 10

// receiver takes the content of one message as it comes and hashes it from the Marker on.
type receiver struct {
	id     string
	size   int64
	h      record.Hash
	header []byte // octets not yet hashed, because the Marker may still come
	begun  bool   // hashing has
	keep   bool
	kept   []byte
	inLine bool // DATA: the next octet is not the first of a line
}

func (r *receiver) reset(keep bool) {
	*r = receiver{header: r.header[:0], keep: keep}
	r.h.Reset()
}

// write takes octets of content.
func (r *receiver) write(p []byte) {
	r.size += int64(len(p))
	if r.keep {
		r.kept = append(r.kept, p...)
	}
	if r.begun {
		r.h.Write(p)
		return
	}
	if len(r.header) > 0 {
		r.header = append(r.header, p...)
		p = r.header
	}
	switch {
	case len(p) > headerLimit || bytes.Contains(p, []byte("\r\n\r\n")):
		r.begin(p)
	case len(r.header) == 0:
		r.header = append(r.header, p...)
	}
}

// begin starts hashing with what there is, from the Marker on.
func (r *receiver) begin(p []byte) {
	rest, id := BelowTrace(p)
	r.id, r.begun = id, true
	r.h.Write(rest)
	r.header = r.header[:0]
}

// identity returns the ID at the end of the content.
func (r *receiver) identity() string {
	if !r.begun {
		r.begin(r.header)
	}
	return r.id
}

// sum returns the hash of all that was written.
func (r *receiver) sum() Sum {
	r.identity()
	return r.h.Sum()
}

// data takes what DATA carries, removes the stuffed dots and returns how many octets it has
// consumed. end is true after the final dot. Only CRLF ends a line (RFC 5321 2.3.8); octets after
// the last one are left alone until their line is complete or long.
func (r *receiver) data(p []byte) (n int, end bool) {
	run := 0 // start of octets to be written in one piece
	for {
		i := bytes.IndexByte(p[n:], '\n')
		if i < 0 {
			break
		}
		line := p[n : n+i+1]
		if !r.inLine && line[0] == '.' {
			r.flush(p[run:n])
			if string(line) == ".\r\n" {
				return n + 3, true
			}
			run = n + 1
		}
		r.inLine = !bytes.HasSuffix(line, []byte("\r\n"))
		n += len(line)
	}
	if rest := p[n:]; len(rest) > 32<<10 { // a line that will not end
		if !r.inLine && rest[0] == '.' {
			r.flush(p[run:n])
			run = n + 1
		}
		n, r.inLine = len(p)-1, true // the last octet may be the CR of CRLF
	}
	r.flush(p[run:n])
	return n, false
}

func (r *receiver) flush(p []byte) {
	if len(p) > 0 {
		r.write(p)
	}
}
