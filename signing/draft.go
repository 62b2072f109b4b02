package signing

import (
	"bytes"
	"io"
	"sync"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/mailauth/dkim"
)

// maxHead bounds the header of a message that is signed; mail with a longer one is not.
const maxHead = 256 << 10

// Draft is what a signature needs of a message: its header, and the hash of its body. It implements
// mail.Watcher. Drafts come from NewDraft and go back by Release.
type Draft struct {
	head   []byte // with the empty line at its end, once that has come
	inBody bool
	tooBig bool
	body   *dkim.BodyHash
}

var drafts = sync.Pool{New: func() any {
	return &Draft{body: dkim.NewBodyHash(dkim.Relaxed)}
}}

// NewDraft returns a draft that has read nothing.
func NewDraft() *Draft { return drafts.Get().(*Draft) }

// Release gives the draft back.
func (d *Draft) Release() {
	d.head, d.inBody, d.tooBig = d.head[:0], false, false
	d.body.Reset()
	if cap(d.head) <= maxKeptHead {
		drafts.Put(d)
	}
}

// maxKeptHead is the largest header whose memory is used again.
const maxKeptHead = 64 << 10

var endOfHead = []byte("\r\n\r\n")

// Write takes the next octets of the message, the trace header in front of it included. It never
// fails.
func (d *Draft) Write(p []byte) (int, error) {
	n := len(p)
	if !d.inBody && !d.tooBig {
		from := max(0, len(d.head)-len(endOfHead)+1)
		room := min(len(p), maxHead-len(d.head))
		d.head = append(d.head, p[:room]...)
		at := bytes.Index(d.head[from:], endOfHead)
		switch {
		case at >= 0:
			end := from + at + len(endOfHead)
			p = p[room-(len(d.head)-end):]
			d.head, d.inBody = d.head[:end], true
		case room < len(p):
			d.tooBig = true
		}
	}
	if d.inBody {
		_, _ = d.body.Write(p)
	}
	return n, nil
}

// read makes a draft of a content that nobody watched.
func read(content *mail.Content) (*Draft, error) {
	d := NewDraft()
	for _, chunk := range content.Chunks {
		_, _ = d.Write(chunk)
	}
	if content.Spill == nil {
		return d, nil
	}
	_, err := io.Copy(d, io.NewSectionReader(content.Spill.F, 0, content.Spill.Size))
	return d, err
}
