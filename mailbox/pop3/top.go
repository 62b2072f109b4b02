package pop3

import "bytes"

// topReader finds the end of what TOP sends: the header, the empty line, and so many lines of the
// body (RFC 1939 7), in pieces of any size.
type topReader struct {
	left   int64 // lines of the body that are still to be sent
	inBody bool
	text   bool // the present line has more than CRs so far
}

// take returns how many octets of p belong to it, and whether that is the end.
func (c *topReader) take(p []byte) (n int, end bool) {
	for n < len(p) && !c.done() {
		line, _, whole := bytes.Cut(p[n:], []byte{'\n'})
		c.text = c.text || len(bytes.TrimLeft(line, "\r")) > 0
		if !whole {
			return len(p), false
		}
		n += len(line) + 1
		if c.inBody {
			c.left--
		}
		c.inBody = c.inBody || !c.text
		c.text = false
	}
	return n, c.done()
}

func (c *topReader) done() bool { return c.inBody && c.left == 0 }
