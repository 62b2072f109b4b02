package node

import (
	"testing"
	"time"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/mailbox"
)

// Quotas that an import changes reach the mailboxes that are there, and nothing is compared twice.
func TestQuotasFollowTheDirectory(t *testing.T) {
	b := startBoxNodes(t, 1)
	n := b.all[0]
	for _, user := range []string{"a@example.net", "b@example.net"} {
		b.ok(n.editor.Add(b.ctx, user, "pw", directory.Settings{Hard: 5000}))
		b.ok(n.boxes.Create(b.ctx, user, mailbox.Settings{Hard: 5000}))
	}
	b.ok(n.boxes.Create(b.ctx, "nobody@example.net", mailbox.Settings{Hard: 7}))
	_, err := n.editor.Import(b.ctx, "s",
		[]directory.Imported{{Name: "a@example.net",
			Settings: directory.Settings{Soft: 100, Hard: 200, Retention: time.Hour}}}, true)
	b.ok(err)
	_, _, err = n.editor.Commit(b.ctx, "s", nil)
	b.ok(err)
	last := map[int]compared{}
	n.compareQuotas(b.ctx, last)
	if len(last) != 4 {
		t.Fatalf("%d shards were compared", len(last))
	}
	for address, want := range map[string]mailbox.Settings{"a@example.net": {Soft: 100, Hard: 200,
		Retention: time.Hour}, "b@example.net": {Hard: 5000}, "nobody@example.net": {Hard: 7}} {
		box, err := n.boxes.Mailbox(b.ctx, address)
		if err != nil || box.Settings != want {
			t.Errorf("%s has %+v, %v; want %+v", address, box.Settings, err, want)
		}
	}
	// Somebody else's change of a mailbox shows whether it is looked at again without a change of
	// the directory.
	b.ok(n.boxes.Configure(b.ctx, "b@example.net", mailbox.Settings{Hard: 1}))
	n.compareQuotas(b.ctx, last)
	if box, _ := n.boxes.Mailbox(b.ctx, "b@example.net"); box.Hard != 1 {
		t.Error("compared without a change")
	}
	users := n.operatorsUsers()
	b.ok(users.Edit(b.ctx, "B@example.net", func(s *directory.Settings) { s.Hard = 6000 }))
	if box, _ := n.boxes.Mailbox(b.ctx, "b@example.net"); box.Hard != 6000 {
		t.Errorf("after user set the mailbox has %+v", box.Settings)
	}
	b.ok(users.Remove(b.ctx, "b@example.net", false))
	if _, err := n.boxes.Mailbox(b.ctx, "b@example.net"); err == nil {
		t.Error("a mailbox without its user")
	}
	b.ok(users.Remove(b.ctx, "a@example.net", true))
	if _, err := n.boxes.Mailbox(b.ctx, "a@example.net"); err != nil {
		t.Errorf("a mailbox that was to be kept: %v", err)
	}
}
