package node

import (
	"context"
	"strings"
	"testing"

	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/node/internal/peer"
)

// TestKeptBy: the directory's rows get what older programs lose once all members say that they keep
// it.
func TestKeptBy(t *testing.T) {
	members := []control.Member{
		{ID: 1, Name: "self", State: control.Active},
		{ID: 2, Name: "two", State: control.Active},
		{ID: 3, Name: "three", State: control.Draining},
		{ID: 4, Name: "four", State: control.Joining},
		{ID: 5, Name: "five", State: control.Removed},
	}
	newer, older := &peer.Report{Rows: directory.Rows}, new(peer.Report)
	for names, reports := range map[string]map[uint16]*peer.Report{
		"two, three": {},
		"three":      {2: newer, 3: older},
		"two":        {3: newer},
		"":           {2: newer, 3: newer},
	} {
		err := keptBy(members, 1, reports)
		if (err == nil) != (names == "") ||
			err != nil && !strings.Contains(err.Error(), " remove "+names+" first") {
			t.Errorf("want %q: %v", names, err)
		}
	}
	if err := keptBy(members[:1], 1, nil); err != nil {
		t.Errorf("alone: %v", err)
	}
}

// oneEntry is an outside list of one entry with these addresses.
type oneEntry []string

func (o oneEntry) Users(_ context.Context, fn func(*directory.Imported) error) error {
	return fn(&directory.Imported{Name: o[0], Addresses: o, Entry: "id: 1"})
}

func (oneEntry) Check(context.Context, *directory.User, string) (bool, error) { return false, nil }

// TestAllNodesAgree: which address of an entry names the mailbox is the same on all nodes,
// whichever of them looks at the list, and in whichever order it comes there.
func TestAllNodesAgree(t *testing.T) {
	b := startBoxNodes(t, 2)
	for i, list := range []oneEntry{{"a@example.net", "long@example.net"},
		{"long@example.net", "a@example.net"}, {"long@example.net"}} {
		n := b.all[i%2]
		b.await("an answer of the other node", func() bool { return n.keptByAll() == nil })
		if _, err := n.editor.Sync(b.ctx, "list", list, true); err != nil {
			t.Fatal(err)
		}
		for _, n := range b.all {
			b.await("the user on all nodes", func() bool {
				u, ok := n.users.Address("long@example.net")
				return ok && u.Name == "a@example.net" && len(n.users.List("", 0)) == 1
			})
			if box, err := directory.Accepts(n.policy, "Long@example.net"); err != nil ||
				box != "a@example.net" {
				t.Errorf("mail goes to %q, %v", box, err)
			}
		}
	}
}
