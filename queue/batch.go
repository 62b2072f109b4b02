package queue

import (
	"errors"
	"io"
	"sync/atomic"

	"github.com/postroad/postroad/internal/mail"
)

// batch is one accept command under way. Its content buffer is the command's parts, and, as long as somebody holds an
// item of it, the items' content: octets are copied once between the session and the socket of the next hop.
type batch struct {
	seq     uint64
	subs    []submission
	ids     []mail.ID
	starts  []int // of each submission's content in content
	content []byte
	data    []byte
	parts   [][]byte

	// Used by the apply goroutine, except for refs.
	budget   *mail.Budget // set while refs > 0 and the buffer is reserved in it
	asked    bool
	refs     atomic.Int32
	giveBack func()
}

// build makes the command. Submissions whose content cannot be read are answered and left out.
func (b *batch) build(r *run, lane laneKey, scratch []byte) []byte {
	var total int64
	for i := range b.subs {
		total += b.subs[i].content.Size
	}
	b.content = make([]byte, 0, total)
	keep := b.subs[:0]
	for _, s := range b.subs {
		start := len(b.content)
		grown, err := appendContent(b.content, s.content)
		s.content.Release()
		if err != nil {
			s.done(mail.ID{}, failContent.With(err))
			continue
		}
		b.content, keep = grown, append(keep, s)
		b.starts = append(b.starts, start)
	}
	b.subs = keep
	now := r.clock.Now()
	for range b.subs {
		b.ids = append(b.ids, r.ids.Next(now))
	}
	return b.encode(r, lane, scratch)
}

func (b *batch) encode(r *run, lane laneKey, scratch []byte) []byte {
	data := appendCommand(make([]byte, 0, b.room()), cmdAccept, r.commandTime(b.ids))
	data = appendAcceptHead(data, lane, b.seq, len(b.subs))
	for i := range b.subs {
		s, content := &b.subs[i], b.of(i)
		data, scratch = appendAcceptEntry(data, scratch, b.ids[i], s.report, int64(len(content)), 0, s.env)
		for len(content) > 0 {
			n := min(len(content), partSize)
			b.parts = append(b.parts, content[:n:n])
			content = content[n:]
		}
	}
	b.data = data
	return scratch
}

// room estimates the size of the command.
func (b *batch) room() int {
	n := 64
	for i := range b.subs {
		n += int(b.subs[i].weight) + 128
	}
	return n
}

// of returns the content of submission i.
func (b *batch) of(i int) []byte {
	if b.content == nil {
		return nil
	}
	end := len(b.content)
	if i+1 < len(b.starts) {
		end = b.starts[i+1]
	}
	return b.content[b.starts[i]:end:end]
}

// hold gives an item its content, if the budget has room for the whole buffer: that is what an item keeps alive.
// A quarter of the budget is left to mail on its way in.
func (b *batch) hold(budget *mail.Budget, i int) ([]byte, func()) {
	if !b.asked && budget != nil && len(b.content) > 0 {
		b.asked = true
		if n := int64(cap(b.content)); budget.Used()+n <= budget.Limit()/4*3 && budget.TryReserve(n) {
			b.budget, b.giveBack = budget, b.release
		}
	}
	if b.budget == nil {
		return nil, nil
	}
	b.refs.Add(1)
	return b.of(i), b.giveBack
}

func (b *batch) release() {
	if b.refs.Add(-1) == 0 {
		b.budget.Release(int64(cap(b.content)))
	}
}

var errContentSize = errors.New("queue: content is not as long as it says")

// appendContent reads all of a content.
func appendContent(b []byte, c *mail.Content) ([]byte, error) {
	start := len(b)
	r := contentSource{c: c}
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			break
		}
		if err != nil {
			return b[:start], err
		}
		if int64(len(b)-start) == c.Size {
			break
		}
	}
	if int64(len(b)-start) != c.Size {
		return b[:start], errContentSize
	}
	return b, nil
}

// contentSource reads chunks and spill file in order.
type contentSource struct {
	c     *mail.Content
	chunk int
	off   int
	spill int64
}

func (r *contentSource) Read(p []byte) (n int, err error) {
	for n < len(p) && r.chunk < len(r.c.Chunks) {
		m := copy(p[n:], r.c.Chunks[r.chunk][r.off:])
		n, r.off = n+m, r.off+m
		if r.off == len(r.c.Chunks[r.chunk]) {
			r.chunk, r.off = r.chunk+1, 0
		}
	}
	if s := r.c.Spill; s != nil && n < len(p) && r.spill < s.Size {
		m, err := s.F.ReadAt(p[n:min(int64(len(p)), int64(n)+s.Size-r.spill)], r.spill)
		n, r.spill = n+m, r.spill+int64(m)
		if err != nil && err != io.EOF {
			return n, err
		}
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}
