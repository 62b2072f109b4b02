package node

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
	"github.com/postroad/postroad/mailbox/router"
)

// operatorsMailboxes does what the mailbox commands ask for.
type operatorsMailboxes struct {
	*router.Router
	settings func(address string) (mailbox.Settings, bool) // of a mailbox that is to be made
	ids      *mail.IDs
}

func (n *node) operatorsMailboxes() operatorsMailboxes {
	return operatorsMailboxes{n.boxes, n.mailboxSettings, n.ids}
}

// boxPage is how many mailboxes of a shard are listed at once.
const boxPage = 500

// Each merges the lists of all shards.
func (m operatorsMailboxes) Each(ctx context.Context, fn func(*mailbox.Mailbox) bool) error {
	pages := make([]boxList, m.Shards())
	for i := range pages {
		pages[i] = boxList{m: m.Router, shard: i, more: true}
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
	m     *router.Router
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
func (m operatorsMailboxes) find(ctx context.Context, address string) (mailbox.Mailbox, error) {
	canonical, err := directory.Canonical(address)
	if err != nil {
		return mailbox.Mailbox{}, fmt.Errorf("%w: %w", mailbox.ErrName, err)
	}
	box, err := m.Mailbox(ctx, canonical)
	if err != nil {
		err = fmt.Errorf("%s: %w", canonical, err)
	}
	return box, err
}

func (m operatorsMailboxes) Show(ctx context.Context, address string) (mailbox.Mailbox, []mailbox.Folder, error) {
	box, err := m.find(ctx, address)
	if err != nil {
		return box, nil, err
	}
	folders, err := m.Folders(ctx, box.Ref)
	return box, folders, err
}

// Export writes folder after folder. Messages that go meanwhile are passed over.
func (m operatorsMailboxes) Export(ctx context.Context, address string, w io.Writer) error {
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

func (m operatorsMailboxes) exportFolder(ctx context.Context, box mailbox.Ref, f *mailbox.Folder, out *archive.StreamWriter) error {
	if err := out.Folder(f.Name); err != nil {
		return err
	}
	all, err := m.Messages(ctx, box, f.Number)
	if err != nil {
		return err
	}
	for i := range all {
		r, size, err := m.Open(ctx, box, f.Number, all[i].UID)
		if errors.Is(err, mailbox.ErrNoMessage) {
			continue
		}
		if err != nil {
			return err
		}
		about := archive.Message{Folder: f.Name, Flags: all[i].Flags, Date: time.UnixMilli(all[i].Date)}
		err = errors.Join(out.Begin(&about, size), out.Copy(r), r.Close())
		if err != nil {
			return err
		}
	}
	return nil
}
