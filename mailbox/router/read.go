package router

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/postroad/postroad/mailbox"
	"github.com/postroad/postroad/mailbox/remote"
)

// Messages lists a folder in the order of UIDs, as its owner has it.
func (r *Router) Messages(
	ctx context.Context, box mailbox.Ref, folder uint32,
) (all []mailbox.Message, err error) {
	shard, err := r.Shard(box.Address)
	if err != nil {
		return nil, err
	}
	q := remote.Request{Shard: shard, Box: box, Folder: folder}
	err = r.atOwner(ctx, shard, func(s *mailbox.Store) (err error) {
		all, err = messagesIn(s, box, folder)
		return err
	}, func(call remote.Call) error {
		return reading(ctx, call(ctx, remote.PathMessages, q.Body(),
			func(from io.Reader) (err error) {
				all, err = remote.ReadMessages(from)
				return err
			}))
	})
	return all, err
}

// messagesIn lists a folder of a shard that this node owns.
func messagesIn(
	s *mailbox.Store, box mailbox.Ref, folder uint32,
) (all []mailbox.Message, err error) {
	if f, err := s.Folder(box, folder); err == nil {
		all = make([]mailbox.Message, 0, f.Messages)
	}
	err = s.Messages(box, folder, mailbox.Range{}, func(m *mailbox.Message) bool {
		all = append(all, mailbox.Message{
			UID: m.UID, Flags: m.Flags, ModSeq: m.ModSeq, Size: m.Size, Date: m.Date,
			Saved: m.Saved,
		})
		return true
	})
	return all, err
}

// reading is the outcome of a request that changes nothing: when it is lost on the way it is made
// again.
func reading(ctx context.Context, err error) error {
	for _, known := range []error{
		mailbox.ErrRefused, mailbox.ErrNoMailbox, mailbox.ErrNoFolder, mailbox.ErrNoMessage,
	} {
		if errors.Is(err, known) {
			return err
		}
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: %w", mailbox.ErrRefused, err)
	}
	return err
}

// Open opens a message, of so many octets, to be read piece by piece. A copy of the shard on this
// node has it, once it has applied the append, for the octets of a message never change; else its
// owner is asked. ctx bounds all of it. The reader holds what is read at once from a copy or the
// wire; it has a method Rest, which lets go of that until the next Read.
func (r *Router) Open(
	ctx context.Context, box mailbox.Ref, folder uint32, uid mailbox.UID,
) (io.ReadCloser, int64, error) {
	shard, err := r.Shard(box.Address)
	if err != nil {
		return nil, 0, err
	}
	q := remote.Request{Shard: shard, Box: box, Folder: folder, UIDs: []mailbox.UID{uid}}
	p := &pieces{r: r, ctx: ctx, q: q}
	if err := p.next(); err != nil {
		return nil, 0, err
	}
	return p, p.size, nil
}

// pieces reads a message from a copy that is here, or a piece at a time from its owner, whichever
// there is as it goes on. It is for one goroutine.
type pieces struct {
	r    *Router
	ctx  context.Context
	q    remote.Request // of the next piece; At is where the reader stands
	size int64
	copy *mailbox.ContentReader // stands at q.At; nil: there is none
	left []byte                 // of the last piece
}

// next finds the message, and where it is elsewhere gets the next piece.
func (p *pieces) next() error {
	if s := p.r.Held(p.q.Shard); s != nil && p.open(s) == nil {
		return nil
	}
	take := func(from io.Reader) error {
		piece, size, err := remote.ReadPiece(from, &p.q)
		if err == nil {
			p.left, p.size = piece, size
		}
		return err
	}
	return p.r.atOwner(p.ctx, p.q.Shard, p.open, func(call remote.Call) error {
		return reading(p.ctx, call(p.ctx, remote.PathPiece, p.q.Body(), take))
	})
}

// open finds the message in a copy that is here.
func (p *pieces) open(s *mailbox.Store) error {
	r, err := s.OpenMessage(p.q.Box, p.q.Folder, p.q.UIDs[0])
	if err != nil {
		return err
	}
	if _, err := r.Seek(p.q.At, io.SeekStart); err != nil {
		return err
	}
	p.copy, p.size = r, r.Message.Size
	return nil
}

func (p *pieces) Read(b []byte) (n int, err error) {
	if p.q.At >= p.size {
		return 0, io.EOF
	}
	for range 2 {
		switch {
		case len(p.left) > 0:
			n = copy(b, p.left)
			p.left = p.left[n:]
		case p.copy != nil:
			if n, err = p.copy.Read(b); err != nil { // the copy may have moved away
				p.closeCopy()
			}
		}
		if n > 0 {
			p.q.At += int64(n)
			return n, nil
		}
		if e := p.next(); e != nil {
			return 0, e
		}
	}
	return 0, err
}

// Rest lets the memory go until the next Read.
func (p *pieces) Rest() {
	p.left = nil
	if p.copy != nil {
		p.copy.Rest()
	}
}

func (p *pieces) closeCopy() {
	if p.copy != nil {
		_ = p.copy.Close() // always nil
		p.copy = nil
	}
}

// Close lets the memory go.
func (p *pieces) Close() error {
	p.closeCopy()
	p.left, p.q.At, p.size = nil, 0, 0
	return nil
}
