package operator

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/clock"
	"github.com/postroad/postroad/mailbox"
	"github.com/postroad/postroad/mailbox/archive"
)

// Bounds of what an import appends at once.
const (
	importOctets = 256 << 10
	importMost   = 200 // messages
	importAgain  = 200 * time.Millisecond
	importLimit  = time.Minute // for which the same is tried again
)

// Import appends the messages of a stream but the first ones, and tells how many are done. It makes
// the mailbox if the directory has its user.
func (m Mailboxes) Import(
	ctx context.Context, address string, skip int64, r io.Reader, told func(int64),
) (int64, error) {
	canonical, err := directory.Canonical(address)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", mailbox.ErrName, err)
	}
	if set, ok := m.Settings(canonical); ok {
		if err := m.Boxes.Create(ctx, canonical, set); err != nil {
			return 0, err
		}
	}
	box, err := m.find(ctx, canonical)
	if err != nil {
		return 0, err
	}
	number, err := m.Boxes.Shard(canonical)
	if err != nil {
		return 0, err
	}
	im := &importer{
		m: m, ctx: ctx, box: box.Ref, shard: number,
		folders: map[string]bool{}, done: skip, told: told,
	}
	in := archive.NewStreamReader(r)
	in.OnFolder = im.Folder
	_, err = archive.Copy(im, in, skip, nil)
	return im.done, err
}

var _ archive.Writer = (*importer)(nil)

// importer is an archive.Writer that appends messages in their order, many at once.
type importer struct {
	m       Mailboxes
	ctx     context.Context
	box     mailbox.Ref
	shard   int
	folders map[string]bool // that are there
	some    []*mailbox.Delivery
	octets  int64
	done    int64 // messages, the skipped ones included
	told    func(done int64)
}

// Folder makes a folder.
func (im *importer) Folder(name string) error {
	if im.folders[name] {
		return nil
	}
	im.folders[name] = true
	return im.m.Boxes.MakeFolder(im.ctx, im.box, name)
}

// Write adds a message to those that are appended next.
func (im *importer) Write(m *archive.Message) error {
	folder := cmp.Or(m.Folder, "INBOX")
	if err := im.Folder(folder); err != nil {
		return err
	}
	size := int64(len(m.Content))
	if len(im.some) == importMost || len(im.some) > 0 && im.octets+size > importOctets {
		if err := im.flush(); err != nil {
			return err
		}
	}
	im.octets += size
	im.some = append(im.some, &mailbox.Delivery{
		Content: mailbox.Content{Size: size, Bytes: bytes.Clone(m.Content)},
		Items: []mailbox.Item{{
			Key:     mailbox.AppendKey{ID: im.m.NextID(time.Now())},
			Mailbox: im.box.Address, Folder: folder, Flags: m.Flags, Date: m.Date, OverQuota: true,
		}},
	})
	return nil
}

// Close appends what is left.
func (im *importer) Close() error { return im.flush() }

// flush appends, under the same keys again while it is not known whether that was done.
func (im *importer) flush() error {
	if len(im.some) == 0 {
		return nil
	}
	limit := time.Now().Add(importLimit)
	for {
		err := im.append()
		passing := errors.Is(err, mailbox.ErrUnknown) || errors.Is(err, mailbox.ErrBusy) ||
			errors.Is(err, mailbox.ErrRefused)
		if !passing || time.Now().After(limit) || !clock.Pause(im.ctx, importAgain) {
			im.forget()
			if err == nil {
				im.done += int64(len(im.some))
				im.told(im.done)
			}
			im.some, im.octets = nil, 0
			return err
		}
	}
}

func (im *importer) append() error {
	if im.octets > mailbox.MaxBatch { // one alone
		return im.appendLarge(im.some[0])
	}
	results, err := im.m.Boxes.AppendBatch(im.ctx, im.shard, im.some)
	for _, r := range results {
		if err == nil {
			err = outcomeOf(r[0])
		}
	}
	return err
}

func (im *importer) appendLarge(d *mailbox.Delivery) error {
	done := make(chan error, 1)
	im.m.Boxes.Append(im.shard, d, func(results []mailbox.Result, err error) {
		if err == nil {
			err = outcomeOf(results[0])
		}
		done <- err
	})
	return <-done
}

// outcomeOf is the error of a result.
func outcomeOf(r mailbox.Result) error {
	switch r.Code {
	case mailbox.Stored, mailbox.Duplicate:
		return nil
	case mailbox.NoMailbox:
		return mailbox.ErrNoMailbox
	}
	return mailbox.ErrUnknown // the pieces of a large one were given up
}

// forget drops the keys.
func (im *importer) forget() {
	records := make([]mailbox.DedupRecord, len(im.some))
	for i, d := range im.some {
		records[i].ID = d.Items[0].Key.ID
	}
	im.m.Boxes.Forget(im.shard, records)
}
