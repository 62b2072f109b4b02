package node

import (
	"context"
	"errors"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/intake"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/mailbox"
	"github.com/postroad/postroad/mailbox/router"
	"github.com/postroad/postroad/queue"
)

// This file joins what the directory says of people with their mailboxes and their mail.

// mailboxSettings are what the directory says of the mailbox of a canonical address; false: no user
// has it.
func (n *node) mailboxSettings(address string) (mailbox.Settings, bool) {
	u, ok := n.users.Get(address)
	if !ok || u.NoMailbox || !n.policy.Local(mail.DomainOf(address)) {
		return mailbox.Settings{}, false
	}
	return mailbox.Settings{Soft: u.Soft, Hard: u.Hard, Retention: u.Retention}, true
}

// knowsPeople reports whether this node has applied all that it knows the control group to have
// decided. After a start that takes until it has heard from a leader: till then nobody is unknown
// for good.
func (n *node) knowsPeople() bool { return n.store.Group(cluster.ControlGroup).Fresh() }

// operatorsUsers is the directory for the administration: a change of a user is one of the mailbox,
// too.
type operatorsUsers struct {
	*directory.Editor
	*directory.Directory
	boxes *router.Router
	sync  func(ctx context.Context, force bool) (directory.Synced, error)
}

// Sync makes the directory follow the outside list of users.
func (u operatorsUsers) Sync(ctx context.Context, force bool) (directory.Synced, error) {
	return u.sync(ctx, force)
}

// Edit changes settings. The mailbox follows, if it has been made; it would in a minute anyway
// (quotas.go).
func (u operatorsUsers) Edit(ctx context.Context, name string, edit func(*directory.Settings)) error {
	var quotas *mailbox.Settings // this node may not know the user as changed yet
	err := u.Editor.Edit(ctx, name, func(s *directory.Settings) {
		before := boxSettings(s)
		edit(s)
		if now := boxSettings(s); now != before {
			quotas = &now
		}
	})
	if err != nil || quotas == nil || u.boxes.Shards() == 0 {
		return err
	}
	if name, err = directory.Canonical(name); err != nil {
		return err
	}
	if err := u.boxes.Configure(ctx, name, *quotas); err != nil && !errors.Is(err, mailbox.ErrNoMailbox) {
		return errors.Join(errors.New("the user has other settings, the mailbox will have them in a minute"), err)
	}
	return nil
}

// boxSettings are what a user's settings say of the mailbox.
func boxSettings(s *directory.Settings) mailbox.Settings {
	return mailbox.Settings{Soft: s.Soft, Hard: s.Hard, Retention: s.Retention}
}

// Remove removes a user, and the mailbox unless it is to be kept.
func (u operatorsUsers) Remove(ctx context.Context, name string, keepMail bool) error {
	err := u.Editor.Remove(ctx, name)
	if keepMail || u.boxes.Shards() == 0 || err != nil && !errors.Is(err, directory.ErrUnknown) {
		return err
	}
	name, bad := directory.Canonical(name)
	if bad != nil {
		return bad
	}
	if gone := u.boxes.Remove(ctx, name); gone != nil { // repeated, it finds no user, but the mailbox
		return errors.Join(errors.New("the user is removed, the mailbox not yet: repeat the command"), gone)
	}
	return err
}

// reportQueue is a queue whose reports go where the directory says that their recipients' mail
// goes.
type reportQueue struct {
	delivery.Queue
	book directory.Book
}

// AcceptReport implements delivery.Queue.
func (q reportQueue) AcceptReport(
	id queue.ReportID,
	env *mail.Envelope,
	content *mail.Content,
	done func(mail.ID, *smtp.Failure),
) {
	intake.AddressReport(q.book, env, content)
	q.Queue.AcceptReport(id, env, content, done)
}
