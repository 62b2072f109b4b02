package queue

import (
	"encoding/binary"
	"io"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue/machine"
)

const (
	// largeProposers is how many large messages are proposed at once, beside the small ones. Their
	// chunks share blocks and syncs.
	largeProposers = 4
	// largeHeld is the size in octets up to which a large message is held in memory until it is
	// delivered, if the budget allows: reading it back costs as much of the disk as writing it.
	largeHeld = 8 << 20
)

// proposeLarge sends a large message as chunks first, one at a time, so that no command is large.
func (r *run) proposeLarge(l *slot) {
	for {
		s, ok := r.front.takeLarge()
		if !ok {
			return
		}
		id := r.q.opts.IDs.Next(r.clock.Now())
		held := newHeld(r.q.opts.Budget, s.content.Size)
		chunks, fail := r.proposeChunks(l, id, s.content, held)
		s.content.Release()
		if fail == nil {
			r.acceptLarge(l, id, s, chunks, held)
		} else {
			s.done(mail.ID{}, fail)
		}
		if held != nil {
			held.release()
		}
		r.front.answered(1)
	}
}

func (r *run) acceptLarge(l *slot, id mail.ID, s submission, chunks uint32, held *buffer) {
	l.seq++
	b := &batch{
		seq:    l.seq,
		subs:   []submission{s},
		ids:    []mail.ID{id},
		starts: []int{0},
		buffer: held,
	}
	data := machine.AppendAcceptHead(machine.AppendCommand(nil, machine.CmdAccept,
		r.commandTime(b.ids)), l.key, l.seq, 1)
	b.data = machine.AppendAcceptEntry(data, id, s.report, s.content.Size, chunks,
		l.envelope.Encode(s.env))
	r.accept(l, b)
}

// newHeld returns a buffer for a large content, its octets reserved, or nil when the content is to
// pass through chunk by chunk. Half of the budget is left to smaller mail.
func newHeld(budget *mail.Budget, size int64) *buffer {
	if budget == nil || size > largeHeld || budget.Used()+size > budget.Limit()/2 ||
		!budget.TryReserve(size) {
		return nil
	}
	b := &buffer{octets: make([]byte, size), asked: true, lent: true, budget: budget}
	b.giveBack = b.release
	b.refs.Store(1)
	return b
}

// proposeChunks proposes a content's chunks, out of held if there is one. Else it uses one buffer
// for all; after a proposal whose outcome was unknown for a while, anybody's, it leaves that to the
// group.
func (r *run) proposeChunks(
	l *slot, id mail.ID, c *mail.Content, held *buffer,
) (n uint32, fail *smtp.Failure) {
	source := contentSource{c: c}
	for at := int64(0); at < c.Size; n++ {
		chunk := l.room(held, at, min(c.Size-at, machine.PartSize))
		if _, err := io.ReadFull(&source, chunk); err != nil {
			return n, failContent.With(err)
		}
		if at == 0 {
			writeID(chunk, c, id)
		}
		data := machine.AppendCommand(nil, machine.CmdChunk, r.commandTime([]mail.ID{id}))
		data = binary.AppendUvarint(append(data, id[:]...), uint64(n))
		repeated := r.q.repeated.Load()
		fail := r.proposeAccept(data, [][]byte{chunk})
		if fail != nil || r.q.repeated.Load() != repeated {
			l.chunk = nil
		}
		if fail != nil {
			return n, fail
		}
		at += int64(len(chunk))
	}
	return n, nil
}

// room returns where n octets of a large content are put, which begin at octet at.
func (l *slot) room(held *buffer, at, n int64) []byte {
	if held != nil {
		return held.octets[at : at+n : at+n]
	}
	if l.chunk == nil {
		l.chunk = make([]byte, machine.PartSize)
	}
	return l.chunk[:n]
}
