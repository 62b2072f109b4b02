package operator

import (
	"context"
	"errors"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/mailbox"
)

// Users is the directory for the administration (admin.Users): a change of a user is one of the
// mailbox, too.
type Users struct {
	*directory.Editor
	*directory.Directory
	Boxes UserBoxes
	// Outside makes the directory follow the outside list of users.
	Outside func(ctx context.Context, force bool) (directory.Synced, error)
}

// UserBoxes are the mailboxes of the cluster, as far as changes of users change them;
// *router.Router is one. Errors are those of package mailbox.
type UserBoxes interface {
	// Shards is their number; 0: there are no mailboxes yet.
	Shards() int
	Configure(ctx context.Context, address string, s mailbox.Settings) error
	// Remove removes a mailbox and what is in it, if it is there.
	Remove(ctx context.Context, address string) error
}

// Sync makes the directory follow the outside list of users.
func (u Users) Sync(ctx context.Context, force bool) (directory.Synced, error) {
	return u.Outside(ctx, force)
}

// Edit changes settings. The mailbox follows, if it has been made; it would in a minute anyway, as
// each owner of a shard compares it with the directory.
func (u Users) Edit(
	ctx context.Context, name string, edit func(*directory.Settings),
) error {
	var quotas *mailbox.Settings // this node may not know the user as changed yet
	err := u.Editor.Edit(ctx, name, func(s *directory.Settings) {
		before := boxSettings(s)
		edit(s)
		if now := boxSettings(s); now != before {
			quotas = &now
		}
	})
	if err != nil || quotas == nil || u.Boxes.Shards() == 0 {
		return err
	}
	if name, err = directory.Canonical(name); err != nil {
		return err
	}
	err = u.Boxes.Configure(ctx, name, *quotas)
	if err != nil && !errors.Is(err, mailbox.ErrNoMailbox) {
		return errors.Join(
			errors.New("the user was changed; the mailbox follows within a minute"), err,
		)
	}
	return nil
}

// boxSettings are what a user's settings say of the mailbox.
func boxSettings(s *directory.Settings) mailbox.Settings {
	return mailbox.Settings{Soft: s.Soft, Hard: s.Hard, Retention: s.Retention}
}

// Remove removes a user, and the mailbox unless it is to be kept.
func (u Users) Remove(ctx context.Context, name string, keepMail bool) error {
	err := u.Editor.Remove(ctx, name)
	if keepMail || u.Boxes.Shards() == 0 || err != nil && !errors.Is(err, directory.ErrUnknown) {
		return err
	}
	name, bad := directory.Canonical(name)
	if bad != nil {
		return bad
	}
	// repeated, it finds no user, but the mailbox
	if gone := u.Boxes.Remove(ctx, name); gone != nil {
		return errors.Join(
			errors.New("the user is removed, the mailbox not yet: repeat the command"), gone,
		)
	}
	return err
}
