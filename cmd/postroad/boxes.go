package main

import (
	"context"
	"io"

	"github.com/postroad/postroad/mailbox"
)

// mailboxes are all mailboxes of the cluster, wherever they are: each call goes to the owner of the mailbox's shard, on this node or another.
// Safe for use by several goroutines. ErrRefused: no owner was found in time, and nothing happened; ErrUnknown: it may have happened.
type mailboxes struct {
	n *node
	// settings are what the directory says of a mailbox that is to be made; false: there is no such user.
	settings func(address string) (mailbox.Settings, bool)
}

func newMailboxes(n *node) *mailboxes {
	return &mailboxes{n: n, settings: func(string) (mailbox.Settings, bool) { return mailbox.Settings{}, false }}
}

// Shards is the number of shards, a constant of the cluster; 0: there are none yet.
func (m *mailboxes) Shards() int { return 0 }

// Append takes a delivery for mailboxes of one shard; it does not block. done is called once. ErrUnknown: try again under the same keys.
func (m *mailboxes) Append(shard int, d *mailbox.Delivery, done func([]mailbox.Result, error)) {
	done(nil, mailbox.ErrRefused)
}

// Forget drops append records whose recipients the queue has settled. It does not block, and may be lost.
func (m *mailboxes) Forget(shard int, records []mailbox.Record) {}

// Create makes a mailbox; it is no error that it is there.
func (m *mailboxes) Create(ctx context.Context, address string, s mailbox.Settings) error {
	return mailbox.ErrRefused
}

// Configure changes quotas and retention, or returns ErrNoMailbox.
func (m *mailboxes) Configure(ctx context.Context, address string, s mailbox.Settings) error {
	return mailbox.ErrRefused
}

// Remove removes a mailbox and all that is in it; it is no error that there is none.
func (m *mailboxes) Remove(ctx context.Context, address string) error { return mailbox.ErrRefused }

// Mailbox returns a mailbox, or ErrNoMailbox.
func (m *mailboxes) Mailbox(ctx context.Context, address string) (mailbox.Mailbox, error) {
	return mailbox.Mailbox{}, mailbox.ErrRefused
}

// Room reports, without waiting for anything, whether so many octets would fit a mailbox: ErrFull, ErrNoMailbox, or nil, also when that is not known
// here. What it says may be a little old; the append decides.
func (m *mailboxes) Room(address string, size int64) error { return nil }

// Lock takes the maildrop lock of a mailbox, which is made if the directory has its user.
func (m *mailboxes) Lock(ctx context.Context, address string) (mailbox.LockID, error) {
	return mailbox.LockID{}, mailbox.ErrRefused
}

// Renew keeps a lock. ErrStaleLock or ErrRefused: it is lost.
func (m *mailboxes) Renew(ctx context.Context, id mailbox.LockID) error { return mailbox.ErrRefused }

// Unlock gives a lock back. It does not block, and may be lost: the lock ends by itself.
func (m *mailboxes) Unlock(id mailbox.LockID) {}

// Update removes messages from the inbox of a locked mailbox.
func (m *mailboxes) Update(ctx context.Context, id mailbox.LockID, uids []mailbox.UID) error {
	return mailbox.ErrRefused
}

// Messages lists a folder in the order of UIDs.
func (m *mailboxes) Messages(ctx context.Context, box mailbox.Ref, folder uint32) ([]mailbox.Message, error) {
	return nil, mailbox.ErrRefused
}

// Open opens a message, of so many octets, to be read piece by piece: no more than a piece is in memory. ctx bounds the opening and the reading.
func (m *mailboxes) Open(ctx context.Context, box mailbox.Ref, folder uint32, uid mailbox.UID) (io.ReadCloser, int64, error) {
	return nil, 0, mailbox.ErrRefused
}

// Folders lists the folders of a mailbox.
func (m *mailboxes) Folders(ctx context.Context, box mailbox.Ref) ([]mailbox.Folder, error) {
	return nil, mailbox.ErrRefused
}
