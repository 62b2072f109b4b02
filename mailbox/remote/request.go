package remote

import (
	"context"
	"errors"
	"fmt"

	"github.com/postroad/postroad/mailbox"
)

// Request is something that the owner of a shard does: all that is not done so often that it has a
// form of its own.
type Request struct {
	Verb     string           `json:"verb"`
	Shard    int              `json:"shard"`
	Address  string           `json:"address,omitempty"`
	Settings mailbox.Settings `json:"settings,omitzero"`
	Box      mailbox.Ref      `json:"box,omitzero"`
	Folder   uint32           `json:"folder,omitempty"`
	Name     string           `json:"name,omitempty"`
	Lock     mailbox.LockID   `json:"lock,omitzero"`
	UIDs     []mailbox.UID    `json:"uids,omitempty"`
	After    string           `json:"after,omitempty"`
	Most     int              `json:"most,omitempty"`
	At       int64            `json:"at,omitempty"` // octets
}

// Reply is what came of a request.
type Reply struct {
	Error     byte              `json:"error,omitempty"`
	Text      string            `json:"text,omitempty"`
	Mailbox   mailbox.Mailbox   `json:"mailbox,omitzero"`
	Mailboxes []mailbox.Mailbox `json:"mailboxes,omitempty"`
	Folders   []mailbox.Folder  `json:"folders,omitempty"`
	Folder    uint32            `json:"folder,omitempty"`
	Lock      mailbox.LockID    `json:"lock,omitzero"`
}

// Err is the error of the request, an error of package mailbox.
func (r *Reply) Err() error { return numbered(r.Error, r.Text) }

// verb is what a request does at the owner.
type verb struct {
	once bool // what happened when it is done a second time is not the same
	do   func(ctx context.Context, s *mailbox.Store, q *Request, r *Reply) error
}

var verbs = map[string]verb{
	"mailbox":   {do: doMailbox},
	"list":      {do: doList},
	"create":    {do: doCreate},
	"configure": {do: doConfigure},
	"remove":    {do: doRemove},
	"folders":   {do: doFolders},
	"folder":    {do: doFolder},
	"lock":      {once: true, do: doLock},
	"renew": {
		do: func(_ context.Context, s *mailbox.Store, q *Request, _ *Reply) error {
			return s.Renew(q.Lock)
		},
	},
	"unlock": {do: doUnlock},
	"update": {do: func(ctx context.Context, s *mailbox.Store, q *Request, _ *Reply) error {
		return s.Update(ctx, q.Lock, q.UIDs)
	}},
}

// Repeatable reports whether a request whose outcome is unknown may be made again.
func (q *Request) Repeatable() bool { return !verbs[q.Verb].once }

// Makes reports whether a request is about a mailbox that may not have been made yet.
func (q *Request) Makes() bool { return q.Verb == "create" || q.Verb == "lock" }

// Do does what is asked, at the owner.
func Do(ctx context.Context, s *mailbox.Store, q *Request) (r Reply) {
	v, ok := verbs[q.Verb]
	err := fmt.Errorf("%w: this node does not know how to %q a mailbox", mailbox.ErrRefused, q.Verb)
	if ok {
		err = v.do(ctx, s, q, &r)
	}
	if r.Error = number(err); err != nil {
		r.Text = err.Error()
	}
	return r
}

func doMailbox(_ context.Context, s *mailbox.Store, q *Request, r *Reply) (err error) {
	r.Mailbox, err = s.Mailbox(q.Address)
	return err
}

func doList(_ context.Context, s *mailbox.Store, q *Request, r *Reply) (err error) {
	r.Mailboxes, err = s.Mailboxes(q.After, min(max(q.Most, 1), 1000))
	return err
}

// doCreate leaves a mailbox that is there as it is.
func doCreate(ctx context.Context, s *mailbox.Store, q *Request, _ *Reply) error {
	if _, err := s.Mailbox(q.Address); err == nil {
		return nil
	}
	_, err := s.CreateMailbox(ctx, q.Address, q.Settings)
	return unless(err, mailbox.ErrExists)
}

func doConfigure(ctx context.Context, s *mailbox.Store, q *Request, _ *Reply) error {
	box, err := s.Mailbox(q.Address)
	if err != nil || box.Settings == q.Settings {
		return err
	}
	return s.SetSettings(ctx, box.Ref, q.Settings)
}

func doRemove(ctx context.Context, s *mailbox.Store, q *Request, _ *Reply) error {
	box, err := s.Mailbox(q.Address)
	if err == nil {
		err = s.RemoveMailbox(ctx, box.Ref)
	}
	return unless(err, mailbox.ErrNoMailbox)
}

func doFolders(_ context.Context, s *mailbox.Store, q *Request, r *Reply) (err error) {
	r.Folders, err = s.Folders(q.Box)
	return err
}

// doFolder makes a folder that is not there.
func doFolder(ctx context.Context, s *mailbox.Store, q *Request, r *Reply) error {
	f, err := s.FolderNamed(q.Box, q.Name)
	if r.Folder = f.Number; err == nil {
		return nil
	}
	r.Folder, err = s.CreateFolder(ctx, q.Box, q.Name)
	return unless(err, mailbox.ErrExists)
}

func doLock(ctx context.Context, s *mailbox.Store, q *Request, r *Reply) (err error) {
	r.Lock, err = s.Lock(ctx, q.Address)
	return err
}

func doUnlock(_ context.Context, s *mailbox.Store, q *Request, _ *Reply) error {
	s.Unlock(q.Lock)
	return nil
}

// unless is an error that is not the one which says that all is as it should be.
func unless(err, fine error) error {
	if errors.Is(err, fine) {
		return nil
	}
	return err
}
