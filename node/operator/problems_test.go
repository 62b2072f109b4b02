package operator

import (
	"fmt"
	"slices"
	"testing"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/state"
	"github.com/postroad/postroad/node/internal/peer"
	"github.com/postroad/postroad/operate/admin/api"
)

// TestMovesOf: what is on its way is told from where the group should lie and what its leader says.
func TestMovesOf(t *testing.T) {
	g := control.Group{ID: 7, Kind: control.KindMailbox, Voters: []uint16{1, 3, 4, 5, 6}}
	leader := peer.Group{Status: cluster.Status{
		Members:   cluster.Members{Voters: []uint16{1, 2}, Nonvoters: []uint16{3, 4, 6}},
		Transfers: map[uint16]state.Progress{4: {Octets: 10, Of: 40}},
		Lag:       map[uint16]uint64{2: 0, 3: 12, 4: 900},
	}}
	want := []api.Move{
		{Node: "mx3", Phase: api.MoveCatchesUp, Behind: 12},
		{Node: "mx4", Phase: api.MoveCopies, Octets: 10, Of: 40},
		{Node: "mx5", Phase: api.MoveWaits},
		{Node: "mx6", Phase: api.MoveWaits},
		{Node: "mx2", Phase: api.MoveLeaves},
	}
	name := func(id uint16) string { return fmt.Sprint("mx", id) }
	if got := movesOf(g, leader, name); !slices.Equal(got, want) {
		t.Errorf("moves %+v", got)
	}
	leader.Members.Voters = []uint16{1, 3, 4, 5, 6}
	if got := movesOf(g, leader, nil); len(got) != 0 {
		t.Errorf("a group at rest moves: %+v", got)
	}
}

// TestTroubles: shards in the same trouble are one line.
func TestTroubles(t *testing.T) {
	var wrong troubles
	for shard := range 6 {
		g := &api.GroupStatus{ID: uint64(9 + shard), Shard: &shard}
		if shard == 2 {
			wrong.add(g, "survives", "survive", " no further loss")
		} else {
			wrong.add(g, "has", "have", " no leader")
		}
	}
	wrong.add(&api.GroupStatus{ID: 4, Home: "mx1"}, "has", "have", " no leader")
	want := []string{
		"group 4 (mail of mx1) has no leader", "mailboxes, shards 0-1, 3-5 have no leader",
		"mailboxes, shard 2 survives no further loss",
	}
	if got := wrong.all(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
