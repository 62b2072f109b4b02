package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/mailbox"
	"github.com/postroad/postroad/mailbox/archive"
)

// Bounds of what an import has under way.
const (
	importOctets = 8 << 20
	importMost   = 200 // messages
	importAgain  = 200 * time.Millisecond
	importLimit  = time.Minute // for which one message is tried again
)

// Import makes the mailbox if the directory has its user.
func (m operatorsMailboxes) Import(ctx context.Context, address string, skip int64, r io.Reader, told func(int64)) (int64, error) {
	canonical, err := directory.Canonical(address)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", mailbox.ErrName, err)
	}
	if set, ok := m.settings(canonical); ok {
		if err := m.Create(ctx, canonical, set); err != nil {
			return 0, err
		}
	}
	box, err := m.find(ctx, canonical)
	if err != nil {
		return 0, err
	}
	number, err := m.shardOf(canonical)
	if err != nil {
		return 0, err
	}
	im := &importer{m: m.mailboxes, ctx: ctx, box: box.Ref, shard: number, folders: map[string]bool{}, begun: skip, done: skip, told: told, wake: make(chan struct{}, 1)}
	in := archive.NewStreamReader(r)
	in.OnFolder = im.Folder
	_, err = archive.Copy(im, in, skip, nil)
	return im.end(err)
}

// importer is an archive.Writer that appends messages, several at once and in their order.
type importer struct {
	m       *mailboxes
	ctx     context.Context
	box     mailbox.Ref
	shard   int
	folders map[string]bool // that are there
	begun   int64           // messages, the skipped ones included
	told    func(done int64)
	wake    chan struct{} // something has an outcome

	mu       sync.Mutex
	octets   int64 // under way
	underway int
	done     int64   // messages without a gap, the skipped ones included
	beyond   []int64 // those that are done beyond the gap
	err      error   // the first; no more is begun
}

// Folder makes a folder.
func (im *importer) Folder(name string) error {
	if im.folders[name] {
		return nil
	}
	im.folders[name] = true
	return im.m.makeFolder(im.ctx, im.box, name)
}

// Write begins to append a message, when there is room for it.
func (im *importer) Write(m *archive.Message) error {
	folder := cmp.Or(m.Folder, "INBOX")
	if err := im.Folder(folder); err != nil {
		return err
	}
	size := int64(len(m.Content))
	err := im.await(func() bool { return im.underway == 0 || im.underway < importMost && im.octets+size <= importOctets })
	if err != nil {
		return err
	}
	im.mu.Lock()
	im.underway++
	im.octets += size
	im.mu.Unlock()
	im.begun++
	g := &importing{im: im, number: im.begun, limit: time.Now().Add(importLimit), d: &mailbox.Delivery{
		Content: mailbox.Content{Size: size, Bytes: append([]byte{}, m.Content...)},
		Items: []mailbox.Item{{
			Key: mailbox.AppendKey{ID: im.m.n.ids.Next(time.Now())}, Mailbox: im.box.Address, Folder: folder, Flags: m.Flags, Date: m.Date, OverQuota: true,
		}},
	}}
	g.try()
	return nil
}

// await waits until something is so, or returns why no more is to be begun.
func (im *importer) await(so func() bool) error {
	for {
		im.mu.Lock()
		err, ok := im.err, so()
		im.mu.Unlock()
		if err != nil || ok {
			return err
		}
		select {
		case <-im.wake:
		case <-im.ctx.Done():
			return im.ctx.Err()
		}
	}
}

// Close waits for what is under way.
func (im *importer) Close() error { return im.await(func() bool { return im.underway == 0 }) }

// end waits for what is under way, also after an error, and returns how many messages are there without a gap.
func (im *importer) end(err error) (int64, error) {
	for {
		im.mu.Lock()
		underway, done, first := im.underway, im.done, im.err
		im.mu.Unlock()
		if underway == 0 {
			return done, errors.Join(err, first)
		}
		<-im.wake
	}
}

// settle takes the outcome of a message.
func (im *importer) settle(g *importing, err error) {
	im.m.Forget(im.shard, []mailbox.Record{{ID: g.d.Items[0].Key.ID}})
	im.mu.Lock()
	im.underway--
	im.octets -= g.d.Content.Size
	if err == nil {
		im.beyond = append(im.beyond, g.number)
	} else if im.err == nil {
		im.err = fmt.Errorf("message %d: %w", g.number, err)
	}
	slices.Sort(im.beyond)
	for len(im.beyond) > 0 && im.beyond[0] == im.done+1 {
		im.done, im.beyond = im.done+1, im.beyond[1:]
	}
	done := im.done
	im.mu.Unlock()
	im.told(done)
	select {
	case im.wake <- struct{}{}:
	default:
	}
}

// importing is one message under way.
type importing struct {
	im     *importer
	d      *mailbox.Delivery
	number int64
	limit  time.Time
}

func (g *importing) try() { g.im.m.Append(g.im.shard, g.d, g.answer) }

// answer has it tried again, under the same key, where it is not known whether it is there.
func (g *importing) answer(results []mailbox.Result, err error) {
	passing := errors.Is(err, mailbox.ErrUnknown) || errors.Is(err, mailbox.ErrBusy) || errors.Is(err, mailbox.ErrRefused)
	switch {
	case err == nil && (results[0].Code == mailbox.Stored || results[0].Code == mailbox.Duplicate):
		g.im.settle(g, nil)
	case err == nil && results[0].Code == mailbox.NoMailbox:
		g.im.settle(g, mailbox.ErrNoMailbox)
	case (err == nil || passing) && time.Now().Before(g.limit) && g.im.ctx.Err() == nil:
		time.AfterFunc(importAgain, g.try)
	default:
		if err == nil { // its pieces were given up, again and again
			err = mailbox.ErrUnknown
		}
		g.im.settle(g, err)
	}
}
