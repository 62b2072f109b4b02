package smtpd

import (
	"bytes"
	"encoding/binary"
	"sync"

	"github.com/postroad/postroad/internal/inbound"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
)

// receiver is the content receiver of one message: it takes mail data of either form to its real
// end, whatever is wrong with it, and keeps the first thing that is wrong. What comes after that is
// counted and thrown away.
type receiver struct {
	limit    int64 // octets of mail data
	kind     mail.BodyType
	body     *body
	part     *inbound.Part // of the disk, the transaction's
	header   headerScan
	idAt     int64             // where the trace header has a place for the message's ID
	dots     smtp.DataReceiver // of DATA
	lines    lineCheck         // of BDAT
	size     int64             // octets of mail data so far, on the wire after unstuffing
	eightBit bool
	bare     bool          // has a CR or LF that is not part of CRLF
	long     bool          // has a line that is too long
	failure  *smtp.Failure // the first that was found; verdict says which counts
	scratch  [2 << 10]byte // unstuffed header, before the header scan
}

var receivers = sync.Pool{New: func() any { return new(receiver) }}

func newReceiver(
	l *listener, set *settings, kind mail.BodyType, part *inbound.Part,
) *receiver {
	r := receivers.Get().(*receiver)
	r.limit, r.kind, r.part = set.Limits.MessageSize, kind, part
	r.dots.MaxLine, r.lines.limit = l.maxLine(), l.maxLine()
	r.header.campaign = set.CampaignHeader
	r.body = bodies.Get().(*body)
	r.body.budget, r.body.inMemory, r.body.spillDir, r.body.part =
		l.srv.Budget, set.Limits.InMemory, l.srv.SpillDir, part
	return r
}

// start writes the trace header, in which the ID's place is at idAt. It does not count as mail
// data.
func (r *receiver) start(appendTrace func([]byte) (trace []byte, idAt int)) {
	trace, idAt := appendTrace(r.scratch[:0])
	r.idAt = int64(idAt)
	r.append(trace)
}

// text takes octets after DATA. done says that the end of mail data was among them.
func (r *receiver) text(in []byte) (n int, done bool) {
	for n < len(in) && !done {
		var used int
		var out []byte
		if room := r.room(); len(room) > 1 {
			// The common case copies each octet once, from the loop's buffer into the chunk.
			out, used, done = r.dots.Append(room[:0], in[n:min(len(in), n+len(room)-1)])
			r.body.wrote(len(out))
			r.count(out)
		} else {
			out, used, done = r.dots.Append(r.scratch[:0], in[n:min(len(in), n+len(r.scratch)-1)])
			r.count(out)
			r.store(out)
		}
		n += used
	}
	r.judge(r.dots.Bare > 0, r.dots.LongLines > 0)
	return n, done
}

// room returns where the mail data's body may be written to directly, if it may.
func (r *receiver) room() []byte {
	if r.failure != nil || !r.header.fields.Done() {
		return nil
	}
	room, f := r.body.room()
	r.fail(f)
	return room
}

// binary takes octets of a BDAT chunk, which have no dots to remove.
func (r *receiver) binary(in []byte) {
	if r.kind != mail.BodyBinaryMIME {
		r.lines.check(in)
		r.judge(r.lines.bare, r.lines.long)
	}
	r.count(in)
	r.store(in)
}

// judge lets go of a message as soon as its lines are known to be bad.
func (r *receiver) judge(bare, long bool) {
	if bare || long {
		r.fail(errBareCRLF)
		r.bare, r.long = bare, long
	}
}

// count counts octets, and looks at them while that can still matter.
func (r *receiver) count(p []byte) {
	if r.size += int64(len(p)); r.size > r.limit {
		r.fail(errTooBig)
	}
	if !r.eightBit && r.kind == mail.Body7Bit {
		r.eightBit = hasHighBit(p)
	}
}

// store keeps octets, the header through the header scan.
func (r *receiver) store(p []byte) {
	if r.failure != nil || len(p) == 0 {
		return
	}
	if r.header.fields.Done() {
		r.append(p)
	} else {
		r.header.scan(p, r)
	}
}

func (r *receiver) append(p []byte) {
	if r.failure == nil {
		r.fail(r.body.write(p))
	}
}

// fail keeps the first failure and lets go of what was received.
func (r *receiver) fail(f *smtp.Failure) {
	if f != nil && r.failure == nil {
		r.failure = f
		r.body.free()
		r.body = nil
		r.part.End(false)
	}
}

// verdict says why the message is refused, if it is. Of several reasons the same one counts in
// whatever pieces the message came.
func (r *receiver) verdict() *smtp.Failure {
	switch {
	case r.size > r.limit:
		return errTooBig
	case r.bare:
		return errBareCRLF
	case r.long:
		return errTextLine
	}
	return r.failure
}

// finish ends the message and returns its content, or why it is refused.
func (r *receiver) finish(maxReceived int) (*mail.Content, *smtp.Failure) {
	r.header.flush(r)
	if r.kind != mail.BodyBinaryMIME {
		r.lines.finish()
		r.judge(r.bare || r.lines.bare, r.long || r.lines.long)
	}
	if r.header.received > maxReceived {
		r.fail(errLoop)
	}
	if f := r.verdict(); f != nil {
		return nil, f
	}
	content, f := r.body.finish()
	if f != nil {
		return nil, f
	}
	r.body = nil // the content's
	content.IDAt = r.idAt
	return content, nil
}

// discard ends a message that nobody wants.
func (r *receiver) discard() {
	if r.body != nil {
		r.body.free()
	}
	r.free()
}

// free gives the receiver back to its pool.
func (r *receiver) free() {
	header := r.header.reuse()
	*r = receiver{}
	r.header = header
	receivers.Put(r)
}

// lineCheck finds in chunks what smtp.DataReceiver finds in dotted text: lone CRs and LFs, and long
// lines. Chunks of text are lines, too (RFC 3030 2), and end as such at the next hop.
type lineCheck struct {
	limit      int // octets of a line that is not too long
	bare, long bool
	cr         bool // the last octet was CR
	line       int  // octets of the present line
}

// check looks at the next octets. It stops at the first lone CR or LF: nothing worse can follow.
func (c *lineCheck) check(p []byte) {
	for len(p) > 0 && !c.bare {
		if c.cr {
			c.cr, c.bare = false, p[0] != '\n'
			c.endLine()
			p = p[1:]
			continue
		}
		text := p
		lf := bytes.IndexByte(p, '\n')
		if lf >= 0 {
			text = p[:lf]
		}
		cr := bytes.IndexByte(text, '\r')
		if cr >= 0 {
			c.cr, text = true, text[:cr]
		}
		c.bare = !c.cr && lf >= 0
		c.line += len(text)
		p = p[min(len(p), len(text)+1):]
	}
}

func (c *lineCheck) endLine() {
	c.long = c.long || c.line > c.limit
	c.line = 0
}

func (c *lineCheck) finish() {
	c.bare = c.bare || c.cr
	c.endLine()
}

// hasHighBit reports whether p has an octet beyond ASCII.
func hasHighBit(p []byte) bool {
	for ; len(p) >= 32; p = p[32:] {
		a := binary.LittleEndian.Uint64(
			p) | binary.LittleEndian.Uint64(
			p[8:]) | binary.LittleEndian.Uint64(p[16:]) | binary.LittleEndian.Uint64(p[24:])
		if a&0x8080808080808080 != 0 {
			return true
		}
	}
	for _, c := range p {
		if c >= 0x80 {
			return true
		}
	}
	return false
}
