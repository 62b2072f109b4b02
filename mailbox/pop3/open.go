package pop3

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/postroad/postroad/mailbox"
)

// opening is a maildrop that was locked and listed, or why it was not.
type opening struct {
	asked    time.Time // when the lock was asked for
	lock     mailbox.LockID
	maildrop *maildrop
	err      error
}

// take locks the maildrop of a user.
func (s *Server) take(user string) (op opening) {
	ctx, cancel := context.WithTimeout(context.Background(), s.limits.Load().CallTimeout)
	defer cancel()
	op.asked = time.Now()
	op.lock, op.err = s.Maildrops.Lock(ctx, user)
	return op
}

// fill lists the maildrop that was locked.
func (s *Server) fill(op *opening) {
	ctx, cancel := context.WithTimeout(context.Background(), s.limits.Load().CallTimeout)
	defer cancel()
	if op.maildrop, op.err = s.list(ctx, op.lock.Mailbox); op.err != nil {
		s.Maildrops.Unlock(op.lock)
	}
}

func (s *Server) list(ctx context.Context, ref mailbox.Ref) (*maildrop, error) {
	box, err := s.Maildrops.Mailbox(ctx, ref.Address)
	if err != nil {
		return nil, err
	}
	folders, err := s.Maildrops.Folders(ctx, ref)
	if err != nil {
		return nil, err
	}
	for i := range folders {
		if f := &folders[i]; f.Number == mailbox.Inbox {
			list, err := s.Maildrops.Messages(ctx, ref, f.Number)
			if err != nil {
				return nil, err
			}
			return newMaildrop(f, cmp.Or(f.Retention, box.Retention), list), nil
		}
	}
	return nil, fmt.Errorf("%s has no inbox: %w", ref.Address, mailbox.ErrNoMailbox)
}
