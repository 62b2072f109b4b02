package node

import (
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
	n := startBoxNodes(t, 2)
	n.await("an answer of the other node", func() bool { return n.all[0].keptByAll() == nil })
}
