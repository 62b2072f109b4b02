package control

import (
	"slices"
	"testing"
)

func ids(n ...uint16) []uint16 { return n }

// TestNext has a row for each kind of step. The leader is the first voter unless it is said.
func TestNext(t *testing.T) {
	for _, c := range []struct {
		name      string
		voters    []uint16
		nonvoters []uint16
		leader    uint16
		want      []uint16
		watch     []uint16
		down      []uint16 // or lagging
		kind      ChangeKind
		member    uint16
		state     GroupState
	}{
		{name: "all is well", voters: ids(1, 2, 3), want: ids(1, 2, 3)},
		{name: "not bootstrapped", voters: ids(1), want: ids(1, 2), state: GroupNew},
		{name: "retired", voters: ids(1, 2), want: nil, state: GroupRetired},
		{name: "grows by a non-voter", voters: ids(1), want: ids(1, 2, 3), kind: AddNonvoter,
			member: 2},
		{name: "that has caught up", voters: ids(1), nonvoters: ids(2), want: ids(1, 2, 3),
			kind: AddVoter, member: 2},
		{name: "or has not: the next may learn beside it", voters: ids(1), nonvoters: ids(2),
			want: ids(1, 2, 3), down: ids(2), kind: AddNonvoter, member: 3},
		{name: "and then is waited for", voters: ids(1), nonvoters: ids(2, 3), want: ids(1, 2, 3),
			down: ids(2, 3)},
		{name: "add before remove", voters: ids(1, 2, 3), nonvoters: ids(4), want: ids(1, 2, 4),
			kind: AddVoter, member: 4},
		{name: "also when it takes long", voters: ids(1, 2, 3), nonvoters: ids(4),
			want: ids(1, 2, 4), down: ids(3, 4)},
		{name: "then remove", voters: ids(1, 2, 3, 4), want: ids(1, 2, 4), down: ids(3),
			kind: Remove, member: 3},
		{name: "one by one", voters: ids(1, 2, 3, 4), want: ids(1, 5, 6), kind: Remove, member: 2},
		{name: "the dead go first", voters: ids(1, 2, 3), want: ids(1), down: ids(3), kind: Remove,
			member: 3},
		{name: "not the living whom the majority needs", voters: ids(1, 2, 3), want: ids(1, 2),
			down: ids(2)},
		{name: "but then others are made voters", voters: ids(1, 2, 3), nonvoters: ids(4),
			want: ids(2, 4), down: ids(2), kind: AddVoter, member: 4},
		{name: "the leader hands over to the home", voters: ids(1, 7, 9), want: ids(7, 9),
			kind: Transfer, member: 9},
		{name: "or to whoever is there", voters: ids(1, 7, 8, 9), want: ids(7, 8, 9), down: ids(9),
			kind: Transfer, member: 7},
		{name: "another leads, and it goes", voters: ids(1, 7, 9), leader: 9, want: ids(7, 9),
			kind: Remove, member: 1},
		{name: "a voter that is to watch", voters: ids(1, 2, 3), want: ids(1, 2), watch: ids(3),
			kind: Demote, member: 3},
		{name: "one that is to watch", voters: ids(1), want: ids(1), watch: ids(2),
			kind: AddNonvoter, member: 2},
		{name: "one that is to watch no longer", voters: ids(1), nonvoters: ids(2), want: ids(1),
			kind: Remove, member: 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			leader := c.leader
			if leader == 0 {
				leader = c.voters[0]
			}
			if c.state == "" {
				c.state = GroupServing
			}
			now := Configuration{Voters: c.voters, Nonvoters: c.nonvoters}
			g := Group{ID: 5, Home: 9, State: c.state, Voters: c.want, Nonvoters: c.watch,
				Observed: now}
			got, ok := Next(now, leader, g, func(m uint16) bool {
				return !slices.Contains(c.down, m)
			})
			if want := (Change{c.kind, c.member}); got != want || ok != (c.kind != 0) {
				t.Errorf("%v %d, %v; want %v %d", got.Kind, got.Member, ok, want.Kind, want.Member)
			}
		})
	}
}

// TestNextWaitsForTheReport: the state must not be two steps behind.
func TestNextWaitsForTheReport(t *testing.T) {
	all := func(uint16) bool { return true }
	g := Group{ID: 5, State: GroupServing, Voters: ids(1, 2, 3),
		Observed: Configuration{Voters: ids(1, 2)}}
	if c, ok := Next(Configuration{Voters: ids(1, 2), Nonvoters: ids(3)}, 1, g, all); ok {
		t.Errorf("%v %d before the last change was reported", c.Kind, c.Member)
	}
	if c, ok := Next(Configuration{Voters: ids(2, 1)}, 1, g, all); !ok { // raft's order is its own
		t.Errorf("%v %d", c.Kind, c.Member)
	}
}
