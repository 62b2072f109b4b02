package pop3

import (
	"bytes"

	rfc5322 "github.com/postroad/postroad/internal/message" // message is one of a maildrop here
)

// topReader finds the end of what TOP sends: the header, the empty line, and so many lines of the
// body (RFC 1939 7), in pieces of any size.
type topReader struct {
	header rfc5322.Scanner
	left   int64 // lines of the body that are still to be sent
}

// take returns how many octets of p belong to it, and whether that is the end.
func (t *topReader) take(p []byte) (n int, end bool) {
	n, _ = t.header.Skip(p)
	for n < len(p) && t.left > 0 {
		line := bytes.IndexByte(p[n:], '\n') + 1
		if line == 0 {
			return len(p), false
		}
		n += line
		t.left--
	}
	return n, t.done()
}

func (t *topReader) done() bool { return t.header.Done() && t.left == 0 }
