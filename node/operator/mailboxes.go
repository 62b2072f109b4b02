package operator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/mailbox"
	"github.com/postroad/postroad/mailbox/archive"
)

// Boxes are the mailboxes of the cluster, wherever they are; Boxes is one. Errors are those
// of package mailbox.
type Boxes interface {
	// Shards is their number; 0: there are none yet.
	Shards() int
	// Shard is that of a mailbox.
	Shard(address string) (int, error)
	// List lists at most so many mailboxes of a shard by their addresses, those after one.
	List(ctx context.Context, shard int, after string, most int) ([]mailbox.Mailbox, error)

	// Create makes a mailbox, if it is not there.
	Create(ctx context.Context, address string, s mailbox.Settings) error
	Mailbox(ctx context.Context, address string) (mailbox.Mailbox, error)
	Folders(ctx context.Context, box mailbox.Ref) ([]mailbox.Folder, error)
	// MakeFolder makes a folder, if it is not there.
	MakeFolder(ctx context.Context, box mailbox.Ref, name string) error

	Messages(ctx context.Context, box mailbox.Ref, folder uint32) ([]mailbox.Message, error)
	// Open returns the octets of a message, and how many they are.
	Open(
		ctx context.Context, box mailbox.Ref, folder uint32, uid mailbox.UID,
	) (io.ReadCloser, int64, error)

	// AppendBatch appends deliveries in their order, Append one of any size; done is called once.
	AppendBatch(
		ctx context.Context, shard int, all []*mailbox.Delivery,
	) ([][]mailbox.Result, error)
	Append(shard int, d *mailbox.Delivery, done func([]mailbox.Result, error))
	// Forget drops the records by which repeated appends are known.
	Forget(shard int, records []mailbox.DedupRecord)
}

// Mailboxes does what the mailbox commands ask for (admin.Mailboxes). Safe for use by several
// goroutines.
type Mailboxes struct {
	Boxes Boxes
	// Settings are those of a mailbox that is to be made; false: no user has it.
	Settings func(address string) (mailbox.Settings, bool)
	// NextID returns a new ID.
	NextID func(now time.Time) mail.ID
}

// boxPage is how many mailboxes of a shard are listed at once.
const boxPage = 500

// Each merges the lists of all shards.
func (m Mailboxes) Each(ctx context.Context, fn func(*mailbox.Mailbox) bool) error {
	pages := make([]boxList, m.Boxes.Shards())
	for i := range pages {
		pages[i] = boxList{m: m.Boxes, shard: i, more: true}
	}
	for {
		var first *boxList
		for i := range pages {
			p := &pages[i]
			if err := p.fill(ctx); err != nil {
				return fmt.Errorf("shard %d: %w", p.shard, err)
			}
			if len(p.page) > 0 && (first == nil || p.page[0].Address < first.page[0].Address) {
				first = p
			}
		}
		if first == nil || !fn(&first.page[0]) {
			return nil
		}
		first.page = first.page[1:]
	}
}

// boxList is the list of one shard, a page at a time.
type boxList struct {
	m     Boxes
	shard int
	page  []mailbox.Mailbox
	after string
	more  bool
}

func (l *boxList) fill(ctx context.Context) (err error) {
	if len(l.page) > 0 || !l.more {
		return nil
	}
	if l.page, err = l.m.List(ctx, l.shard, l.after, boxPage); err != nil {
		return err
	}
	if l.more = len(l.page) == boxPage; l.more {
		l.after = l.page[boxPage-1].Address
	}
	return nil
}

// find returns a mailbox by an address as somebody writes it.
func (m Mailboxes) find(ctx context.Context, address string) (mailbox.Mailbox, error) {
	canonical, err := directory.Canonical(address)
	if err != nil {
		return mailbox.Mailbox{}, fmt.Errorf("%w: %w", mailbox.ErrName, err)
	}
	box, err := m.Boxes.Mailbox(ctx, canonical)
	if err != nil {
		err = fmt.Errorf("%s: %w", canonical, err)
	}
	return box, err
}

// Show returns a mailbox and its folders.
func (m Mailboxes) Show(
	ctx context.Context, address string,
) (mailbox.Mailbox, []mailbox.Folder, error) {
	box, err := m.find(ctx, address)
	if err != nil {
		return box, nil, err
	}
	folders, err := m.Boxes.Folders(ctx, box.Ref)
	return box, folders, err
}

// Export writes folder after folder. Messages that go meanwhile are passed over.
func (m Mailboxes) Export(ctx context.Context, address string, w io.Writer) error {
	box, folders, err := m.Show(ctx, address)
	if err != nil {
		return err
	}
	out := archive.NewStreamWriter(w)
	for _, f := range folders {
		if err := m.exportFolder(ctx, box.Ref, &f, out); err != nil {
			return fmt.Errorf("folder %s: %w", f.Name, err)
		}
	}
	return out.Close()
}

func (m Mailboxes) exportFolder(
	ctx context.Context, box mailbox.Ref, f *mailbox.Folder, out *archive.StreamWriter,
) error {
	if err := out.Folder(f.Name); err != nil {
		return err
	}
	all, err := m.Boxes.Messages(ctx, box, f.Number)
	if err != nil {
		return err
	}
	for i := range all {
		r, size, err := m.Boxes.Open(ctx, box, f.Number, all[i].UID)
		if errors.Is(err, mailbox.ErrNoMessage) {
			continue
		}
		if err != nil {
			return err
		}
		about := archive.Message{
			Folder: f.Name, Flags: all[i].Flags, Date: time.UnixMilli(all[i].Date),
		}
		err = errors.Join(out.Begin(&about, size), out.Copy(r), r.Close())
		if err != nil {
			return err
		}
	}
	return nil
}
