package queue

import (
	"errors"
	"io"
	"sync/atomic"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue/machine"
)

// batch is one accept command under way.
type batch struct {
	seq    uint64
	subs   []submission
	ids    []mail.ID
	starts []int // of each submission's content in the buffer
	buffer *buffer
	data   []byte
	parts  [][]byte
}

// buffer is the content of a batch. It is the command's parts and, as long as somebody holds an
// item of it, the items' content: octets are copied once between the session and the socket of the
// next hop. It is garbage when the group has let go of the command too; so it is never used again.
type buffer struct {
	octets   []byte
	asked    bool         // apply goroutine, like budget, once the command is under way
	budget   *mail.Budget // set while the octets are reserved in it
	refs     atomic.Int32
	lent     bool // it was reserved before the command, and began with a holder
	giveBack func()
}

// build makes the command. Submissions whose content cannot be read are answered and left out.
func (b *batch) build(r *run, l *slot) {
	var total int64
	for i := range b.subs {
		total += b.subs[i].content.Size
	}
	n := len(b.subs)
	octets := make([]byte, 0, total)
	b.parts = make([][]byte, 0, n)
	b.ids, b.starts = make([]mail.ID, 0, n), make([]int, 0, n)
	keep := b.subs[:0]
	for _, s := range b.subs {
		start := len(octets)
		grown, err := appendContent(octets, s.content)
		s.content.Release()
		if err != nil {
			s.done(mail.ID{}, failContent.With(err))
			continue
		}
		octets, keep = grown, append(keep, s)
		b.starts = append(b.starts, start)
	}
	b.subs, b.buffer = keep, &buffer{octets: octets}
	now := r.clock.Now()
	for i := range b.subs {
		b.ids = append(b.ids, r.q.opts.IDs.Next(now))
		writeID(b.of(i), b.subs[i].content, b.ids[i])
	}
	b.encode(r, l)
}

// writeID writes a message's ID where its content has a place for it, if the octets reach so far.
func writeID(octets []byte, c *mail.Content, id mail.ID) {
	if at := c.IDAt; at > 0 && at+mail.IDLen <= int64(len(octets)) {
		id.AppendTo(octets[at : at : at+mail.IDLen])
	}
}

func (b *batch) encode(r *run, l *slot) {
	data := machine.AppendCommand(make([]byte, 0, b.room()), machine.CmdAccept,
		r.commandTime(b.ids))
	data = machine.AppendAcceptHead(data, l.key, b.seq, len(b.subs))
	for i := range b.subs {
		s, content := &b.subs[i], b.of(i)
		data = machine.AppendAcceptEntry(
			data,
			b.ids[i],
			s.report,
			int64(len(content)),
			0,
			l.envelope.Encode(s.env),
		)
		for len(content) > 0 {
			n := min(len(content), machine.PartSize)
			b.parts = append(b.parts, content[:n:n])
			content = content[n:]
		}
	}
	b.data = data
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
	end := len(b.buffer.octets)
	if i+1 < len(b.starts) {
		end = b.starts[i+1]
	}
	return b.buffer.octets[b.starts[i]:end:end]
}

// hold adds a holder, if the budget has room for the whole buffer: that is what each of its holders
// keeps alive. A quarter of the budget is left to mail on its way in. All holders of a command are
// added before any of them is told.
func (b *buffer) hold(budget *mail.Budget) (release func()) {
	if !b.asked && budget != nil && len(b.octets) > 0 {
		b.asked = true
		if n := int64(cap(b.octets)); budget.Used()+n <= budget.Limit()/4*3 &&
			budget.TryReserve(n) {
			b.budget, b.giveBack = budget, b.release
		}
	}
	if b.budget == nil || !b.addRef() {
		return nil
	}
	return b.giveBack
}

// addRef fails when the last holder has gone: the proposer of a large message is one and may have
// given up.
func (b *buffer) addRef() bool {
	for {
		n := b.refs.Load()
		if n == 0 && b.lent {
			return false
		}
		if b.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (b *buffer) release() {
	if b.refs.Add(-1) == 0 {
		b.budget.Release(int64(cap(b.octets)))
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

// Read reads a content: its chunks in memory, then its spill file.
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
