package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/postroad/postroad/mailbox"
	"github.com/postroad/postroad/mailbox/remote"
)

// Messages lists a folder in the order of UIDs, as its owner has it.
func (m *mailboxes) Messages(ctx context.Context, box mailbox.Ref, folder uint32) (all []mailbox.Message, err error) {
	number, err := m.shardOf(box.Address)
	if err != nil {
		return nil, err
	}
	q := remote.Request{Shard: number, Box: box, Folder: folder}
	err = m.atOwner(ctx, number, func(s *mailbox.Store) (err error) {
		all, err = messagesIn(s, box, folder)
		return err
	}, func(call remote.Call) error {
		return reading(ctx, call(ctx, remote.PathMessages, q.Body(), func(from io.Reader) (err error) {
			all, err = remote.ReadMessages(from)
			return err
		}))
	})
	return all, err
}

// messagesIn lists a folder of a shard that this node owns.
func messagesIn(s *mailbox.Store, box mailbox.Ref, folder uint32) (all []mailbox.Message, err error) {
	if f, err := s.Folder(box, folder); err == nil {
		all = make([]mailbox.Message, 0, f.Messages)
	}
	err = s.Messages(box, folder, mailbox.Range{}, func(m *mailbox.Message) bool {
		all = append(all, mailbox.Message{UID: m.UID, Flags: m.Flags, ModSeq: m.ModSeq, Size: m.Size, Date: m.Date, Saved: m.Saved})
		return true
	})
	return all, err
}

// reading is the outcome of a request that changes nothing: when it is lost on the way it is made again.
func reading(ctx context.Context, err error) error {
	for _, known := range []error{mailbox.ErrRefused, mailbox.ErrNoMailbox, mailbox.ErrNoFolder, mailbox.ErrNoMessage} {
		if errors.Is(err, known) {
			return err
		}
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: %w", mailbox.ErrRefused, err)
	}
	return err
}

// Open opens a message, of so many octets, to be read piece by piece: no more than wholeSize of it is in memory. A copy of the shard on this node has
// it, once it has applied the append, for the octets of a message never change; else its owner is asked. ctx bounds all of it.
func (m *mailboxes) Open(ctx context.Context, box mailbox.Ref, folder uint32, uid mailbox.UID) (io.ReadCloser, int64, error) {
	number, err := m.shardOf(box.Address)
	if err != nil {
		return nil, 0, err
	}
	if s := m.Held(number); s != nil {
		if r, err := s.OpenMessage(box, folder, uid); err == nil && r.Message.Size <= wholeSize {
			return r, r.Message.Size, nil
		}
	}
	p := &pieces{m: m, ctx: ctx, q: remote.Request{Shard: number, Box: box, Folder: folder, UIDs: []mailbox.UID{uid}}}
	if err := p.next(); err != nil {
		return nil, 0, err
	}
	return p, p.size, nil
}

// wholeSize is the size of the largest message whose reader may have all of it in memory, in octets.
const wholeSize = 2 * remote.PieceSize

// pieces reads a message a piece at a time, however slow its reader is. It is for one goroutine.
type pieces struct {
	m    *mailboxes
	ctx  context.Context
	q    remote.Request // of the next piece
	size int64
	left []byte
}

// next gets the next piece.
func (p *pieces) next() error {
	if s := p.m.Held(p.q.Shard); s != nil && p.open(s) == nil {
		return nil
	}
	return p.m.atOwner(p.ctx, p.q.Shard, p.open, func(call remote.Call) error {
		return reading(p.ctx, call(p.ctx, remote.PathPiece, p.q.Body(), func(from io.Reader) error {
			piece, size, err := remote.ReadPiece(from, &p.q)
			if err == nil {
				p.left, p.size = piece, size
			}
			return err
		}))
	})
}

// open reads the next piece of a copy that is here.
func (p *pieces) open(s *mailbox.Store) error {
	r, err := s.OpenMessage(p.q.Box, p.q.Folder, p.q.UIDs[0])
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := r.Seek(p.q.At, io.SeekStart); err != nil {
		return err
	}
	piece := make([]byte, max(0, min(r.Message.Size-p.q.At, remote.PieceSize)))
	if _, err := io.ReadFull(r, piece); err != nil {
		return err
	}
	p.left, p.size = piece, r.Message.Size
	return nil
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.left) == 0 {
		if p.q.At >= p.size {
			return 0, io.EOF
		}
		if err := p.next(); err != nil {
			return 0, err
		}
	}
	n := copy(b, p.left)
	p.left = p.left[n:]
	p.q.At += int64(n)
	return n, nil
}

// Close lets the memory go.
func (p *pieces) Close() error {
	p.left, p.q.At, p.size = nil, 0, 0
	return nil
}
