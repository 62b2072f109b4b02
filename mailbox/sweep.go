package mailbox

import (
	"context"
	"fmt"
	"time"
)

// The owner looks for what was given up, deleted or kept for long enough this often; a command
// removes this much at once.
const (
	sweepEvery = 10 * time.Minute
	sweepMost  = 1000
)

// sweep removes what is no longer wanted, as long as the term lasts.
func (r *run) sweep() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		var err error
		select {
		case <-r.ctx.Done():
			return
		case <-r.purge:
			err = r.sweepNow(r.ctx, r.purgeAll)
		case <-tick.C:
			err = r.sweepNow(r.ctx, r.sweepChunks, r.purgeAll, r.retainAll)
		}
		_ = err // it will be met again, or stop the process elsewhere
	}
}

func (r *run) wakePurge() {
	select {
	case r.purge <- struct{}{}:
	default:
	}
}

// sweepNow does some steps, one sweep at a time.
func (r *run) sweepNow(ctx context.Context, steps ...func(context.Context) error) error {
	r.sweepLock.Lock()
	defer r.sweepLock.Unlock()
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Sweep removes at once what the owner looks for from time to time: chunks that were given up,
// messages of what was deleted, and those that are past their retention.
func (s *Store) Sweep(ctx context.Context) error {
	r := s.run.Load()
	if r == nil {
		return errNotOwner
	}
	return r.sweepNow(ctx, r.sweepChunks, r.purgeAll, r.retainAll)
}

// sweepChunks drops chunks that no append will take.
func (r *run) sweepChunks(ctx context.Context) error {
	for {
		found, err := r.orphans()
		if err != nil || len(found) == 0 {
			return err
		}
		body := func(b []byte) []byte { return appendSweep(b, found) }
		if _, err := r.verb(ctx, cmdSweep, body); err != nil {
			return err
		}
	}
}

func (r *run) orphans() (found []chunkKey, err error) {
	now := meta{epoch: r.session, time: r.clock.Now().UnixMilli()}
	var bad error
	err = r.group.Scan([]byte{keyChunk}, []byte{keyChunk + 1}, func(k, v []byte) bool {
		c, ok := parseChunkKey(k)
		row, err := decodeChunkRow(v)
		if !ok || err != nil {
			bad = errCorrupt
		} else if orphaned(c, &row, &now) {
			found = append(found, c)
		}
		return bad == nil && len(found) < sweepMost
	})
	if err == nil {
		err = bad
	}
	if err != nil {
		return nil, fmt.Errorf("look for orphaned chunks: %w", err)
	}
	return found, nil
}

// purgeAll removes the messages of deleted folders and mailboxes.
func (r *run) purgeAll(ctx context.Context) error {
	for {
		mailbox, folder, ok, err := r.firstCondemned()
		if err != nil || !ok {
			return err
		}
		if err := r.purgeSome(ctx, mailbox, folder); err != nil {
			return err
		}
	}
}

func (r *run) firstCondemned() (mailbox, folder uint32, found bool, err error) {
	err = r.group.Scan([]byte{keyCondemned}, []byte{keyCondemned + 1}, func(k, _ []byte) bool {
		mailbox, folder, found = parsePair(k, keyCondemned)
		return false
	})
	return mailbox, folder, found, err
}

// purgeSome removes the first messages of something condemned. Of a mailbox it takes one folder
// after the other.
func (r *run) purgeSome(ctx context.Context, mailbox, folder uint32) error {
	from, to := appendPrefix(nil, keyMessage, mailbox), appendPrefix(nil, keyMessage, mailbox+1)
	if folder != 0 {
		from, to = appendMessageKey(
			nil,
			mailbox,
			folder,
			0,
		), appendMessageKey(
			nil,
			mailbox,
			folder+1,
			0,
		)
	}
	var uids []UID
	err := r.group.Scan(from, to, func(k, _ []byte) bool {
		_, in, uid, ok := parseMessageKey(k)
		if !ok || len(uids) > 0 && in != folder {
			return false
		}
		folder, uids = in, append(uids, uid)
		return len(uids) < verbMost
	})
	if err != nil {
		return err
	}
	if len(uids) == 0 {
		return fmt.Errorf(
			"mailbox: nothing is left of mailbox %d, folder %d, but it is condemned: %w",
			mailbox,
			folder,
			errCorrupt,
		)
	}
	_, err = r.verb(
		ctx,
		cmdPurge,
		func(b []byte) []byte { return appendPurge(b, mailbox, folder, uids) },
	)
	return err
}

// retainAll removes messages that have been in their folder for as long as they are kept. UIDs are
// given in the order in which messages come, so the old ones stand first, and a folder costs no
// more than what is removed from it.
func (r *run) retainAll(ctx context.Context) error {
	for after := ""; ; {
		boxes, err := r.s.Mailboxes(after, sweepMost)
		if err != nil || len(boxes) == 0 {
			return err
		}
		for i := range boxes {
			if err := r.retainBox(ctx, &boxes[i]); err != nil {
				return err
			}
		}
		after = boxes[len(boxes)-1].Address
	}
}

func (r *run) retainBox(ctx context.Context, box *Mailbox) error {
	folders, err := r.s.Folders(box.Ref)
	if err != nil {
		return err
	}
	for i := range folders {
		f := &folders[i]
		keep := f.Retention
		if keep == 0 {
			keep = box.Retention
		}
		for more := keep > 0 && f.Messages > 0; more; {
			before := r.clock.Now().Add(-keep).UnixMilli()
			if more, err = r.retainSome(ctx, box.Ref, f.Number, before); err != nil {
				return err
			}
		}
	}
	return nil
}

// retainSome removes the first messages of a folder that came before a time.
func (r *run) retainSome(
	ctx context.Context, box Ref, folder uint32, before int64,
) (more bool, err error) {
	var uids []UID
	err = r.s.Messages(box, folder, Range{}, func(m *Message) bool {
		if m.Saved > before {
			return false
		}
		uids = append(uids, m.UID)
		return len(uids) < verbMost
	})
	if err != nil || len(uids) == 0 {
		return false, err
	}
	v, err := r.verb(
		ctx,
		cmdRetain,
		func(b []byte) []byte { return appendMessages(b, box, folder, uids) },
	)
	return err == nil && len(uids) == verbMost && v.count > 0, err
}
