package control

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// withShards makes a cluster of so many members with mailboxes.
func withShards(t *testing.T, members, shards int) *bench {
	t.Helper()
	b := newBench(t)
	b.protocol = MailboxProtocol
	b.members("mx1")
	for i := 2; i <= members; i++ {
		b.join(fmt.Sprint("mx", i))
	}
	b.settle(three)
	must(t, b.MakeShards(ctx, shards))
	b.settle(three)
	return b
}

func (b *bench) join(name string) {
	b.t.Helper()
	m, err := b.AddMember(ctx, b.node(name))
	must(b.t, err)
	must(b.t, b.Activate(ctx, m.ID))
}

// shards says for each shard who leads it and on whom it lies.
func shards(s *State) (lines []string) {
	for _, id := range s.Shards() {
		g, _ := s.Group(id)
		lines = append(lines, fmt.Sprintf("%d%v", g.Home, g.Voters))
	}
	return lines
}

func wantShards(t *testing.T, s *State, want ...string) {
	t.Helper()
	if got := shards(s); !slices.Equal(got, want) {
		t.Errorf("the shards are on %v, not %v", got, want)
	}
}

// spread counts what each member has of the shards: as a voter, and as who leads.
func spread(s *State) (voters, leads map[uint16]int) {
	voters, leads = map[uint16]int{}, map[uint16]int{}
	for _, id := range s.Shards() {
		g, _ := s.Group(id)
		leads[g.Home]++
		for _, m := range g.Voters {
			voters[m]++
		}
	}
	return voters, leads
}

// TestMakeShards: their number is given once, and only to members that understand it.
func TestMakeShards(t *testing.T) {
	b := newBench(t)
	b.members("mx1", "mx2")
	refused(t, b.MakeShards(ctx, 4), ErrInvalid,
		"upgrade mx1 (version 1.0), mx2 (version 1.0) first")
	b.upgrade(1, "3.0", MailboxProtocol)
	b.upgrade(2, "3.0", MailboxProtocol)
	for _, n := range []int{0, -1, MaxShards + 1} {
		if err := b.MakeShards(ctx, n); err == nil ||
			!strings.Contains(err.Error(), "1 to 256 shards") {
			t.Errorf("%d shards: %v", n, err)
		}
	}
	if len(b.State.Shards()) != 0 {
		t.Error("shards that nobody made")
	}
	must(t, b.MakeShards(ctx, 4))
	must(t, b.MakeShards(ctx, 4))
	must(t, b.MakeShards(ctx, 7)) // of a node with another configuration, or a late one
	if got := b.State.Shards(); !slices.Equal(got, make([]uint64, 4)) {
		t.Errorf("before there are groups: %v", got)
	}
	b.settle(three)
	wantShards(t, b.State, "1[1 2]", "2[1 2]", "1[1 2]", "2[1 2]")
	if got := ShardsOf(keyCounts, []byte(b.store.KV[string(keyCounts)])); got != 4 ||
		ShardsOf(keyCounts, nil) != 0 || ShardsOf(keyCluster, nil) != 0 {
		t.Errorf("a backup has %d shards", got)
	}
	again := New()
	must(t, again.Load(b.store))
	if !slices.Equal(again.Shards(), b.State.Shards()) || !same(again, b.State) {
		t.Errorf("read again: %v, not %v", again.Shards(), b.State.Shards())
	}
}

// TestRowsWithoutShards: the rows of a cluster that never had mailboxes are what they were, and can
// be read.
func TestRowsWithoutShards(t *testing.T) {
	b := newBench(t)
	b.members("mx1")
	for k, v := range b.store.KV {
		if strings.Contains(v, "shard") {
			t.Errorf("row %q: %s", k, v)
		}
	}
	s := New()
	must(t, s.Load(b.store))
	if len(s.Shards()) != 0 {
		t.Errorf("shards %v", s.Shards())
	}
}

// TestShardsSpread: a cluster that grows, shrinks and loses a member has its shards spread evenly,
// each on three members, and led evenly.
func TestShardsSpread(t *testing.T) {
	b := withShards(t, 1, 16)
	even := func(what string, members ...uint16) {
		t.Helper()
		voters, leads := spread(b.State)
		for name, count := range map[string]map[uint16]int{"voters": voters, "leads": leads} {
			total := 0
			for id, n := range count {
				total += n
				if !slices.Contains(members, id) && n > 0 {
					t.Errorf("%s: member %d has %d %s", what, id, n, name)
				}
			}
			for _, id := range members {
				if n := count[id]; n < total/len(members) || n > total/len(members)+1 {
					t.Errorf("%s: %s are %v", what, name, count)
				}
			}
		}
	}
	even("alone", 1)
	b.join("mx2")
	b.settle(three)
	even("two", 1, 2)
	b.join("mx3")
	b.settle(three)
	even("three", 1, 2, 3)
	b.join("mx4")
	b.settle(three)
	even("four", 1, 2, 3, 4)
	b.join("mx5")
	b.settle(three)
	even("five", 1, 2, 3, 4, 5)

	must(t, b.Drain(ctx, 2))
	b.settle(three)
	even("mx2 drains", 1, 3, 4, 5)
	home, _ := b.State.HomeOf(2)
	if got := b.State.Placed(2); !slices.Equal(got, []uint64{home}) {
		t.Errorf("only its queue holds the draining member up, not %v", got)
	}
	must(t, b.Retire(ctx, home))
	must(t, b.Remove(ctx, 2))
	b.settle(three)
	even("mx2 is gone", 1, 3, 4, 5)

	b.join("mx6")
	b.Reachable = func(m uint16) bool { return m != 3 }
	must(t, b.Replace(ctx, 3, 6))
	b.settle(Policy{Replicas: 3, Reachable: b.Reachable})
	even("mx6 in place of mx3", 1, 4, 5, 6)
	for _, g := range b.State.Groups() {
		if g.Kind == KindMailbox && g.State != GroupServing {
			t.Errorf("group %+v", g)
		}
	}
}

// TestDrainWaitsForShards: a member is not drained, and cannot be removed, before others have its
// shards.
func TestDrainWaitsForShards(t *testing.T) {
	b := withShards(t, 4, 1)
	g, _ := b.State.Group(b.State.Shards()[0])
	leaver := g.Voters[0]
	must(t, b.Drain(ctx, leaver))
	must(t, b.Place(ctx, Plan(b.State, three)))
	moved, _ := b.State.Group(g.ID)
	if slices.Contains(moved.Voters, leaver) || len(moved.Voters) != 3 || moved.Home == leaver {
		t.Fatalf("planned: %+v", moved)
	}
	home, _ := b.State.HomeOf(leaver)
	must(t, b.Retire(ctx, home))
	if got := b.State.Placed(leaver); !slices.Contains(got, g.ID) {
		t.Errorf("a member that has a shard yet counts as drained: %v", got)
	}
	b.settle(three)
	if got := b.State.Placed(leaver); len(got) != 0 {
		t.Errorf("still in %v", got)
	}
}

// TestDrainedAloneKeepsShards: with nobody else to take them, shards stay where they are.
func TestDrainedAloneKeepsShards(t *testing.T) {
	b := withShards(t, 1, 2)
	must(t, b.Drain(ctx, 1))
	b.settle(three)
	wantShards(t, b.State, "1[1]", "1[1]")
	must(t, b.Undrain(ctx, 1))
	b.settle(three)
	wantShards(t, b.State, "1[1]", "1[1]")
}

// TestFounderGone: a shard whose group never began gets another, and the late founder is told so.
func TestFounderGone(t *testing.T) {
	b := newBench(t)
	b.protocol = MailboxProtocol
	b.members("mx1", "mx2")
	b.settle(three)
	must(t, b.MakeShards(ctx, 2))
	must(t, b.Place(ctx, Plan(b.State, three)))
	before := slices.Clone(b.State.Shards())
	if len(b.State.Hosts(1)) != 4 || len(b.State.Hosts(2)) != 4 {
		t.Errorf("a new group is run by its founder alone: %+v", b.State.Hosts(1))
	}
	policy := Policy{Replicas: 3, Reachable: func(m uint16) bool { return m != 2 }}
	must(t, b.Place(ctx, Plan(b.State, policy)))
	after := b.State.Shards()
	if after[0] != before[0] || after[1] == before[1] {
		t.Errorf("shards %v, then %v", before, after)
	}
	refused(t, b.Bootstrapped(ctx, before[1]), ErrInvalid, "before it began")
	must(t, b.Bootstrapped(ctx, after[1]))
	b.settle(three)
	// both were founded by mx1; one is led by the other now
	wantShards(t, b.State, "2[1 2]", "1[1 2]")
}

// TestShardLost: after a recovery without the members that had a shard, it begins anew and empty.
func TestShardLost(t *testing.T) {
	b := withShards(t, 5, 1)
	old, _ := b.State.Group(b.State.Shards()[0])
	left := minus(ids(1, 2, 3, 4, 5), old.Voters)
	for _, g := range b.State.Groups() {
		if own := minus(g.Observed.Voters, old.Voters); len(own) > 0 {
			must(t, b.Observed(ctx, g.ID, Configuration{Voters: own, Index: 100}))
		}
	}
	for _, lost := range old.Voters {
		must(t, b.RemoveLost(ctx, lost))
	}
	b.settle(three)
	now, _ := b.State.Group(b.State.Shards()[0])
	if gone, _ := b.State.Group(old.ID); gone.State != GroupRetired || gone.Shard != now.Shard ||
		now.ID == old.ID || !slices.Equal(now.Voters, left) {
		t.Errorf("the shard had %+v and has %+v", gone, now)
	}
}

// TestReportsWithoutANumber: a report that says not at which entry it was made is taken over in a
// group that was recovered, of which one had a number.
func TestReportsWithoutANumber(t *testing.T) {
	b := withShards(t, 2, 1)
	shard := b.State.Shards()[0]
	must(t, b.Observed(ctx, shard, Configuration{Voters: ids(1), Index: 900}))
	must(t, b.Observed(ctx, shard, Configuration{Voters: ids(1, 2)}))
	if g, _ := b.State.Group(shard); !slices.Equal(g.Observed.Voters, ids(1, 2)) {
		t.Errorf("the group is known as %+v", g.Observed)
	}
	must(t, b.Observed(ctx, shard, Configuration{Voters: ids(1), Index: 900}))
	must(t, b.Observed(ctx, shard, Configuration{Voters: ids(1, 2), Index: 899})) // late
	if g, _ := b.State.Group(shard); !slices.Equal(g.Observed.Voters, ids(1)) {
		t.Errorf("after a late report the group is known as %+v", g.Observed)
	}
}

// TestShardPlansThatMakeNoSense: a plan that would lose, double or drain a shard is not taken over.
func TestShardPlansThatMakeNoSense(t *testing.T) {
	b := withShards(t, 2, 2)
	basis := Plan(b.State, three).Basis
	before := layout(b.State)
	shard := b.State.Shards()[0]
	g, _ := b.State.Group(shard)
	for _, c := range []struct {
		group Group
		words string
	}{
		{Group{Kind: KindMailbox, Shard: 0, Home: 1, Voters: ids(1)}, "has a group already"},
		{Group{Kind: KindMailbox, Shard: 2, Home: 1, Voters: ids(1)}, "no shard 2"},
		{Group{Kind: KindMailbox, Shard: -1, Home: 1, Voters: ids(1)}, "no shard -1"},
		{Group{ID: shard, State: GroupDraining, Home: g.Home, Voters: ids(1, 2)},
			"it has mailboxes"},
		{Group{ID: shard, State: GroupRetired}, "cannot become retired"},
		{Group{ID: shard, State: GroupServing, Home: 2, Voters: ids(1)}, "not to lead"},
	} {
		refused(t, b.Place(ctx, Placement{Basis: basis, Groups: []Group{c.group}}), ErrInvalid,
			c.words)
	}
	refused(t, b.Retire(ctx, shard), ErrInvalid, "serving, not draining")
	wantLayout(t, b.State, strings.Split(before, "\n")...)
}
