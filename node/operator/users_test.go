package operator

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/directory"
	rowstest "github.com/postroad/postroad/internal/testkit/rows"
	"github.com/postroad/postroad/mailbox"
)

// userBoxes are mailboxes of users.
type userBoxes struct {
	shards  int
	fails   error
	set     map[string]mailbox.Settings
	removed []string
}

func (b *userBoxes) Shards() int { return b.shards }

func (b *userBoxes) Configure(_ context.Context, address string, s mailbox.Settings) error {
	b.set[address] = s
	return b.fails
}

func (b *userBoxes) Remove(_ context.Context, address string) error {
	b.removed = append(b.removed, address)
	return b.fails
}

// TestUsersAndTheirMailboxes: a mailbox follows when what concerns it has changed, and goes with
// the user unless it is to be kept.
func TestUsersAndTheirMailboxes(t *testing.T) {
	users := directory.New()
	boxes := &userBoxes{shards: 4, set: map[string]mailbox.Settings{}}
	u := Users{
		Editor: &directory.Editor{
			Directory: users, Proposer: rowstest.New(users), Now: time.Now,
			Allows: func() error { return nil }, Local: func(string) bool { return true },
		},
		Directory: users, Boxes: boxes,
		Outside: func(context.Context, bool) (directory.Synced, error) {
			return directory.Synced{},
				nil
		},
	}
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(u.Add(ctx, "a@example.net", "pw", directory.Settings{Hard: 5000}))
	must(u.Edit(ctx, "A@example.net", func(s *directory.Settings) { s.Hard = 6000 }))
	if got := boxes.set["a@example.net"]; got.Hard != 6000 {
		t.Errorf("the mailbox has %+v", boxes.set)
	}
	clear(boxes.set)
	must(u.Edit(ctx, "a@example.net", func(s *directory.Settings) { s.NoMailbox = true }))
	if len(boxes.set) != 0 {
		t.Errorf("what does not concern the mailbox sets %+v", boxes.set)
	}
	larger := func(s *directory.Settings) { s.Hard++ }
	boxes.fails = mailbox.ErrNoMailbox
	must(u.Edit(ctx, "a@example.net", larger))
	boxes.fails = mailbox.ErrBusy
	err := u.Edit(ctx, "a@example.net", larger)
	if !errors.Is(err, mailbox.ErrBusy) ||
		!strings.Contains(err.Error(), "the mailbox follows within a minute") {
		t.Errorf("while mailboxes are busy: %v", err)
	}
	err = u.Remove(ctx, "a@example.net", false)
	if !errors.Is(err, mailbox.ErrBusy) || !strings.Contains(err.Error(), "repeat the command") {
		t.Errorf("while mailboxes are busy: %v", err)
	}
	boxes.fails = nil
	if err = u.Remove(ctx, "a@example.net", false); !errors.Is(err, directory.ErrUnknown) {
		t.Errorf("repeated: %v", err)
	}
	if len(boxes.removed) != 2 || boxes.removed[1] != "a@example.net" {
		t.Errorf("removed: %q", boxes.removed)
	}
	must(u.Add(ctx, "kept@example.net", "pw", directory.Settings{}))
	must(u.Remove(ctx, "kept@example.net", true))
	boxes.shards = 0
	must(u.Add(ctx, "b@example.net", "pw", directory.Settings{}))
	must(u.Edit(ctx, "b@example.net", larger))
	must(u.Remove(ctx, "b@example.net", false))
	if len(boxes.removed) != 2 {
		t.Errorf("removed: %q", boxes.removed)
	}
}
