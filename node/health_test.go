package node

import (
	"fmt"
	"testing"

	"github.com/postroad/postroad/cluster/control"
)

// TestUnreadyNamesWhoIsMissing: a node that takes no mail yet says for whom its home group waits.
func TestUnreadyNamesWhoIsMissing(t *testing.T) {
	g := control.Group{ID: 5, Voters: []uint16{1, 2, 3, 4}}
	name := func(id uint16) string { return fmt.Sprint("mx", id) }
	answers := func(id uint16) bool { return id != 1 }
	want := "this node takes mail once its home group (group 5) has 4 voters: it has 2 and " +
		"waits for " +
		"mx1, which does not answer; for mx3"
	if err := tooFew(g, []uint16{2, 4}, name, answers); err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
	if err := tooFew(g, []uint16{1, 2, 3, 4}, name, answers); err != nil {
		t.Error(err)
	}
}
