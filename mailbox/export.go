package mailbox

import (
	"context"
	"errors"
)

// exportPage is how many messages are listed at once: no state of the store is kept while they are
// read.
const exportPage = 1000

// Export calls fn with each message of a mailbox, folder after folder, in the order of their UIDs;
// fn reads the message from r and is done with all three when it returns. Messages that go
// meanwhile are passed over, those that come may be told or not. What fn hands on as Items with
// OverQuota set, in Deliveries of any shard, is an import: flags and dates are kept, UIDs are new.
func (s *Store) Export(
	ctx context.Context, box Ref, fn func(f *Folder, m *Message, r *ContentReader) error,
) error {
	folders, err := s.Folders(box)
	if err != nil {
		return err
	}
	for i := range folders {
		if err := s.exportFolder(ctx, box, &folders[i], fn); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) exportFolder(
	ctx context.Context, box Ref, f *Folder, fn func(f *Folder, m *Message, r *ContentReader) error,
) error {
	for next := UID(0); ; {
		uids := make([]UID, 0, exportPage)
		err := s.Messages(box, f.Number, Range{First: next}, func(m *Message) bool {
			uids = append(uids, m.UID)
			return len(uids) < exportPage
		})
		if err != nil || len(uids) == 0 {
			return err
		}
		for _, uid := range uids {
			r, err := s.OpenMessage(box, f.Number, uid)
			if errors.Is(err, ErrNoMessage) {
				continue
			}
			if err == nil {
				err = fn(f, &r.Message, r)
			}
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return err
			}
		}
		next = uids[len(uids)-1] + 1
	}
}
