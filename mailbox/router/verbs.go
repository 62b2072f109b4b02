package router

import (
	"context"

	"github.com/postroad/postroad/mailbox"
	"github.com/postroad/postroad/mailbox/remote"
)

// This file has what is done to whole mailboxes.

// Create makes a mailbox; it is no error that it is there.
func (r *Router) Create(ctx context.Context, address string, s mailbox.Settings) error {
	_, err := r.doAt(ctx, address, remote.Request{Verb: "create", Address: address, Settings: s})
	return err
}

// Configure changes quotas and retention, or returns ErrNoMailbox.
func (r *Router) Configure(ctx context.Context, address string, s mailbox.Settings) error {
	q := remote.Request{Verb: "configure", Address: address, Settings: s}
	_, err := r.doAt(ctx, address, q)
	return err
}

// Remove removes a mailbox and all that is in it; it is no error that there is none.
func (r *Router) Remove(ctx context.Context, address string) error {
	_, err := r.doAt(ctx, address, remote.Request{Verb: "remove", Address: address})
	return err
}

// Mailbox returns a mailbox, or ErrNoMailbox.
func (r *Router) Mailbox(ctx context.Context, address string) (mailbox.Mailbox, error) {
	reply, err := r.doAt(ctx, address, remote.Request{Verb: "mailbox", Address: address})
	return reply.Mailbox, err
}

// Folders lists the folders of a mailbox.
func (r *Router) Folders(ctx context.Context, box mailbox.Ref) ([]mailbox.Folder, error) {
	reply, err := r.doAt(ctx, box.Address, remote.Request{Verb: "folders", Box: box})
	return reply.Folders, err
}

// MakeFolder makes a folder of a mailbox if it is not there.
func (r *Router) MakeFolder(ctx context.Context, box mailbox.Ref, name string) error {
	_, err := r.doAt(ctx, box.Address, remote.Request{Verb: "folder", Box: box, Name: name})
	return err
}

// List lists mailboxes of one shard, by their addresses.
func (r *Router) List(
	ctx context.Context, shard int, after string, most int,
) ([]mailbox.Mailbox, error) {
	q := remote.Request{Verb: "list", Shard: shard, After: after, Most: most}
	reply, err := r.do(ctx, &q)
	return reply.Mailboxes, err
}
