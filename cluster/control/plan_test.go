package control

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// layout is the groups on one line each, for comparing.
func layout(s *State) string {
	var b strings.Builder
	for _, g := range s.Groups() {
		fmt.Fprintf(&b, "%d %s of %d: %v", g.ID, g.State, g.Home, g.Voters)
		if len(g.Nonvoters) > 0 {
			fmt.Fprintf(&b, " and %v", g.Nonvoters)
		}
		b.WriteByte('\n')
	}
	return strings.TrimSpace(b.String())
}

func wantLayout(t *testing.T, s *State, lines ...string) {
	t.Helper()
	if got, want := layout(s), strings.Join(lines, "\n"); got != want {
		t.Errorf("the groups are\n%s\nnot\n%s", got, want)
	}
}

var three, five = Policy{Replicas: 3}, Policy{Replicas: 5}

// TestGrowth follows a cluster from one node to five and back to two.
func TestGrowth(t *testing.T) {
	b := newBench(t)
	b.members("mx1")
	b.settle(five)
	wantLayout(t, b.State, "1 serving of 0: [1]", "2 serving of 1: [1]")
	join := func(name string) {
		m, err := b.AddMember(ctx, b.node(name))
		must(t, err)
		must(t, b.Activate(ctx, m.ID))
		b.settle(five)
	}
	join("mx2")
	wantLayout(t, b.State, "1 serving of 0: [1 2]", "2 serving of 1: [1 2]",
		"3 serving of 2: [1 2]")
	join("mx3")
	wantLayout(t, b.State, "1 serving of 0: [1 2 3]", "2 serving of 1: [1 2 3]",
		"3 serving of 2: [1 2 3]", "4 serving of 3: [1 2 3]")
	join("mx4")
	wantLayout(t, b.State, "1 serving of 0: [1 2 3] and [4]", "2 serving of 1: [1 3 4]",
		"3 serving of 2: [2 3 4]",
		"4 serving of 3: [1 2 3]", "5 serving of 4: [1 2 4]")
	join("mx5")
	all := "[1 2 3 4 5]"
	wantLayout(t, b.State, "1 serving of 0: "+all, "2 serving of 1: "+all, "3 serving of 2: "+all,
		"4 serving of 3: "+all, "5 serving of 4: "+all, "6 serving of 5: "+all)

	for member := uint16(5); member > 2; member-- {
		must(t, b.Drain(ctx, member))
		b.settle(five)
		home, _ := b.State.HomeOf(member)
		if g, _ := b.State.Group(home); g.State != GroupDraining ||
			slices.Contains(g.Voters, member) {
			t.Fatalf("the home group of a draining member is %+v", g)
		}
		if got := b.State.Placed(member); !slices.Equal(got, []uint64{home}) {
			t.Fatalf("member %d is in groups %v; only its home is to be emptied", member, got)
		}
		must(t, b.Retire(ctx, home))
		if got := b.State.Placed(member); len(got) != 0 {
			t.Fatalf("member %d is drained, but in groups %v", member, got)
		}
		must(t, b.Remove(ctx, member))
		b.settle(five)
	}
	wantLayout(t, b.State, "1 serving of 0: [1 2]", "2 serving of 1: [1 2]",
		"3 serving of 2: [1 2]")
}

// TestDrainAndBack: a member that is undrained in time keeps its group; one that comes later gets
// another.
func TestDrainAndBack(t *testing.T) {
	b := newBench(t)
	b.members("mx1", "mx2", "mx3")
	b.settle(three)
	before := layout(b.State)
	refused(t, b.Retire(ctx, 4), ErrInvalid, "serving, not draining")
	must(t, b.Drain(ctx, 3))
	b.settle(three)
	wantLayout(t, b.State, "1 serving of 0: [1 2] and [3]", "2 serving of 1: [1 2]",
		"3 serving of 2: [1 2]", "4 draining of 3: [1 2]")
	must(t, b.Undrain(ctx, 3))
	b.settle(three)
	wantLayout(t, b.State, before)
	must(t, b.Drain(ctx, 3))
	b.settle(three)
	must(t, b.Retire(ctx, 4))
	must(t, b.Retire(ctx, 4))
	must(t, b.Undrain(ctx, 3))
	b.settle(three)
	if g, ok := b.State.HomeOf(3); !ok || g != 5 {
		t.Errorf("its home is group %d; retired numbers are not used again", g)
	}
	if g, ok := b.State.Group(4); !ok || g.State != GroupRetired || len(b.State.Hosts(3)) != 4 {
		t.Errorf("the tombstone is %+v, and member 3 has %d groups", g, len(b.State.Hosts(3)))
	}
}

func TestDrainAlone(t *testing.T) {
	b := newBench(t)
	b.members("mx1")
	b.settle(three)
	must(t, b.Drain(ctx, 1))
	b.settle(three)
	wantLayout(t, b.State, "1 serving of 0: [1]", "2 draining of 1: [1]")
	refused(t, b.Remove(ctx, 1), ErrInvalid, "the last member")
	must(t, b.Undrain(ctx, 1))
	b.settle(three)
	wantLayout(t, b.State, "1 serving of 0: [1]", "2 serving of 1: [1]")
}

// TestReplace: a dead member's places go to the new one, and its mail is delivered by the others.
func TestReplace(t *testing.T) {
	b := newBench(t)
	b.members("mx1", "mx2", "mx3")
	b.settle(three)
	b.Reachable = func(m uint16) bool { return m != 3 }
	policy := Policy{Replicas: 3, Reachable: b.Reachable}
	m, err := b.AddMember(ctx, b.node("mx4"))
	must(t, err)
	refused(t, b.Replace(ctx, 3, m.ID), ErrInvalid, "is joining")
	must(t, b.Activate(ctx, m.ID))
	if plan := Plan(b.State, policy); len(plan.Groups) != 2 ||
		!slices.Equal(plan.Groups[1].Voters, []uint16{1, 2, 4}) {
		t.Errorf("planned with a dead member: %+v", plan)
	}
	refused(t, b.Replace(ctx, 3, 3), ErrInvalid, "itself")
	must(t, b.Replace(ctx, 3, 4))
	b.settle(policy)
	wantLayout(t, b.State, "1 serving of 0: [1 2 4]", "2 serving of 1: [1 2 4]",
		"3 serving of 2: [1 2 4]", "4 draining of 3: [1 2 4]", "5 serving of 4: [1 2 4]")
	if got := b.State.Hosts(3); len(got) != 0 {
		t.Errorf("a removed member has groups: %+v", got)
	}
	refused(t, b.Replace(ctx, 3, 4), ErrInvalid, "was removed")
}

// TestPlacesOfTheSilent: a place that nobody has taken yet goes to a member that answers, also when
// the one that it was for was thought to be there; one that was taken stays, for a short absence
// moves nothing.
func TestPlacesOfTheSilent(t *testing.T) {
	b := newBench(t)
	b.members("mx1", "mx2", "mx3")
	b.settle(three)
	before := b.State.Groups()
	m, err := b.AddMember(ctx, b.node("mx4"))
	must(t, err)
	must(t, b.Activate(ctx, m.ID))
	must(t, b.Place(ctx, Plan(b.State, three))) // mx1 is dead, and nobody knows yet
	home, _ := b.State.HomeOf(4)
	if g, _ := b.State.Group(home); !slices.Contains(g.Voters, 1) {
		t.Fatalf("the home group of mx4 is planned on %v", g.Voters)
	}
	must(t, b.Bootstrapped(ctx, home))
	must(t, b.Observed(ctx, home, Configuration{Voters: ids(4), Nonvoters: ids(1), Index: 9}))
	policy := Policy{Replicas: 3, Reachable: func(m uint16) bool { return m != 1 }}
	must(t, b.Place(ctx, Plan(b.State, policy)))
	if g, _ := b.State.Group(home); !slices.Equal(g.Voters, ids(2, 3, 4)) {
		t.Errorf("the home group of mx4 waits for %v", g.Voters)
	}
	for _, g := range before {
		if now, _ := b.State.Group(g.ID); !slices.Equal(now.Voters, g.Voters) {
			t.Errorf("group %d moves from %v to %v", g.ID, g.Voters, now.Voters)
		}
	}
	if plan := Plan(b.State, policy); !plan.Empty() {
		t.Errorf("planned again: %+v", plan)
	}
	// With nobody else there, it waits.
	alone := Policy{Replicas: 3, Reachable: func(m uint16) bool { return m == 4 || m == 2 }}
	must(t, b.Place(ctx, Plan(b.State, alone)))
	if g, _ := b.State.Group(home); len(g.Voters) != 3 || !slices.Contains(g.Voters, 2) {
		t.Errorf("the home group of mx4 is planned on %v", g.Voters)
	}
}

// TestRemoveKeepsMajorities: nobody is removed whom a group cannot spare.
func TestRemoveKeepsMajorities(t *testing.T) {
	b := newBench(t)
	b.members("mx1", "mx2")
	b.settle(three)
	refused(t, b.Remove(ctx, 2), ErrInvalid, "without mx2 group 1 may have no majority")
	m, err := b.AddMember(ctx, b.node("mx3"))
	must(t, err)
	must(t, b.Activate(ctx, m.ID))
	b.settle(three)
	b.Reachable = func(m uint16) bool { return m != 1 }
	refused(t, b.Remove(ctx, 2), ErrInvalid, "without mx2")
	must(t, b.Remove(ctx, 1)) // the dead one
	refused(t, b.Remove(ctx, 2), ErrBusy, "in a moment")
	for _, g := range b.State.Groups() { // their leaders take note, and have not let it go yet
		must(t, b.Observed(ctx, g.ID, g.Observed))
	}
	refused(t, b.Remove(ctx, 2), ErrInvalid, "without mx2")
	must(t, b.Remove(ctx, 1)) // again
	b.settle(three)
	wantLayout(t, b.State, "1 serving of 0: [2 3]", "2 draining of 1: [2 3]",
		"3 serving of 2: [2 3]", "4 serving of 3: [2 3]")
}

// TestRemoveWhileMoving: between what was seen and what is wanted, the smaller number of voters may
// be in force already.
func TestRemoveWhileMoving(t *testing.T) {
	b := newBench(t)
	b.members("mx1", "mx2", "mx3")
	b.settle(three)
	must(t, b.Drain(ctx, 3))
	must(t, b.Place(ctx, Plan(b.State, three))) // seen: 1 2 3; wanted: 1 2
	refused(t, b.Remove(ctx, 2), ErrBusy, "group 1 is about to change")
	refused(t, b.Remove(ctx, 3), ErrBusy, "group 1 is about to change")
	for _, g := range b.State.Groups() {
		must(t, b.Observed(ctx, g.ID, g.Observed))
	}
	refused(t, b.Remove(ctx, 2), ErrInvalid, "without mx2")
	must(t, b.Remove(ctx, 3)) // whether or not it is a voter still, the two others are a majority
}

// TestRemoveOneThatNeverCame: a group that was about to take in a member that died meanwhile does
// not depend on it.
func TestRemoveOneThatNeverCame(t *testing.T) {
	b := newBench(t)
	b.members("mx1", "mx2", "mx3", "mx4")
	b.settle(three)
	must(t, b.Place(ctx, Placement{Basis: Plan(b.State, three).Basis,
		Groups: []Group{{ID: 5, State: GroupServing, Voters: ids(1, 2, 4)}}}))
	must(t, b.Observed(ctx, 5, Configuration{Voters: ids(4), Nonvoters: ids(1, 2), Index: 100}))
	b.Reachable = func(m uint16) bool { return m != 2 }
	// 2 and 4 may be in force by now
	refused(t, b.Remove(ctx, 2), ErrInvalid, "without mx2 group 5 may have no majority")
	must(t, b.Observed(ctx, 5, Configuration{Voters: ids(1, 4), Nonvoters: ids(2), Index: 101}))
	must(t, b.Remove(ctx, 2))
}

// TestRemoveOnePromotedUnseen: the plan changes twice before the leader reports, and by the first a
// member became a voter whom neither the report nor the plan has as one.
func TestRemoveOnePromotedUnseen(t *testing.T) {
	b := newBench(t)
	b.members("mx1", "mx2", "mx3", "mx4")
	b.settle(three)
	place := func(voters ...uint16) {
		must(t, b.Place(ctx, Placement{Basis: Plan(b.State, three).Basis,
			Groups: []Group{{ID: 5, State: GroupServing, Voters: voters}}}))
	}
	place(1, 2, 4)
	must(t, b.Observed(ctx, 5, Configuration{Voters: ids(4), Nonvoters: ids(1, 2), Index: 100}))
	place(1, 3, 4) // in force: 2 and 4
	refused(t, b.Remove(ctx, 2), ErrBusy, "group 5")
	must(t, b.Observed(ctx, 5, Configuration{Voters: ids(2, 4), Nonvoters: ids(1), Index: 101}))
	refused(t, b.Remove(ctx, 2), ErrInvalid, "without mx2 group 5 may have no majority")
}

// TestPatience: a removal waits for groups in motion, and not for ever.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.members("mx1", "mx2", "mx3", "mx4")
		b.settle(three)
		must(t, b.Drain(ctx, 4))
		must(t, b.Place(ctx, Plan(b.State, three)))
		b.Patience = 5 * time.Second
		start := time.Now()
		refused(t, b.Remove(ctx, 4), ErrBusy, "in a moment")
		if waited := time.Since(start); waited != b.Patience {
			t.Errorf("waited for %v", waited)
		}
		ended, end := context.WithCancel(ctx)
		end()
		refused(t, b.Remove(ended, 4), ErrBusy, "in a moment")
		time.AfterFunc(2*time.Second, func() { b.settle(three) })
		must(t, b.Remove(ctx, 4))
	})
}

// TestRecover: of three members one is left. What only the others had is given up.
func TestRecover(t *testing.T) {
	b := newBench(t)
	b.members("mx1", "mx2", "mx3", "mx4", "mx5")
	b.settle(three)
	g, _ := b.State.Group(6)
	if !slices.Equal(g.Voters, []uint16{1, 4, 5}) {
		t.Fatalf("group 6 is on %v", g.Voters)
	}
	for _, g := range b.State.Groups() { // mx2 and mx3 are left; they report what they recovered
		left := minus(g.Observed.Voters, []uint16{1, 4, 5})
		if len(left) > 0 {
			must(t, b.Observed(ctx, g.ID, Configuration{Voters: left, Index: 100}))
		}
	}
	for _, lost := range []uint16{1, 4, 5} {
		must(t, b.RemoveLost(ctx, lost))
	}
	b.settle(three)
	if g, _ := b.State.Group(6); g.State != GroupRetired {
		t.Errorf("group 6, of which nobody has a copy, is %+v", g)
	}
	for _, g := range b.State.Groups() {
		if !slices.Equal(g.Voters, []uint16{2, 3}) {
			t.Errorf("group %d is on %v", g.ID, g.Voters)
		}
	}
}

// TestStablePlacement: a member that goes moves only what it had.
func TestStablePlacement(t *testing.T) {
	b := newBench(t)
	for i := range 12 {
		if i == 0 {
			b.members("mx1")
			continue
		}
		m, err := b.AddMember(ctx, b.node(fmt.Sprint("mx", i+1)))
		must(t, err)
		must(t, b.Activate(ctx, m.ID))
	}
	b.settle(three)
	before := b.State.Groups()
	must(t, b.Drain(ctx, 7))
	for _, g := range Plan(b.State, three).Groups {
		old := before[slices.IndexFunc(before, func(o Group) bool { return o.ID == g.ID })]
		if g.ID != ControlGroup &&
			(!slices.Contains(old.Voters, 7) || len(minus(g.Voters, old.Voters)) != 1) {
			t.Errorf("group %d moves from %v to %v", g.ID, old.Voters, g.Voters)
		}
	}
}

// TestStalePlans: a plan that was made before a change is not taken over, nor is one that makes no
// sense.
func TestStalePlans(t *testing.T) {
	b := newBench(t)
	b.members("mx1", "mx2")
	b.settle(three)
	must(t, b.Drain(ctx, 2))
	stale := Plan(b.State, three)
	must(t, b.Observed(ctx, 1, Configuration{Voters: []uint16{1, 2}, Index: 9})) // a plan bears it
	must(t, b.Undrain(ctx, 2))
	refused(t, b.Place(ctx, stale), ErrStale, "older state")
	must(t, b.Observed(ctx, 1, Configuration{Voters: []uint16{1}, Index: 8})) // late
	if g, _ := b.State.Group(1); len(g.Observed.Voters) != 2 {
		t.Error("a late report was taken over")
	}
	basis := Plan(b.State, three).Basis
	before := layout(b.State)
	for _, c := range []struct {
		group Group
		words string
	}{
		{Group{ID: 99, State: GroupServing}, "no group 99"},
		{Group{ID: 2, State: GroupRetired}, "cannot become retired"},
		{Group{ID: 2, State: GroupServing}, "no voters"},
		{Group{ID: 2, State: GroupServing, Voters: []uint16{1, 9}}, "member 9"},
		{Group{ID: 1, State: GroupDraining, Voters: []uint16{1}}, "always serves"},
		{Group{Home: 1, Voters: []uint16{1}}, "not to get a home group"},
	} {
		good := Group{ID: 3, State: GroupServing, Voters: []uint16{2}}
		refused(t, b.Place(ctx, Placement{Basis: basis, Groups: []Group{good, c.group}}),
			ErrInvalid, c.words)
	}
	wantLayout(t, b.State, before)
}

// TestHomeGoneBeforeItBegan: a group whose home bootstrapped it too late never serves.
func TestHomeGoneBeforeItBegan(t *testing.T) {
	b := newBench(t)
	b.members("mx1", "mx2")
	must(t, b.Bootstrapped(ctx, 2))
	must(t, b.Place(ctx, Plan(b.State, three)))
	must(t, b.Undrain(ctx, 2))
	g, ok := b.State.HomeOf(2)
	if !ok || g != 3 || len(b.State.Hosts(2)) != 3 || len(b.State.Hosts(1)) != 2 {
		t.Fatalf("home of mx2: %d; it is alone in it until it serves: %+v", g, b.State.Hosts(1))
	}
	must(t, b.RemoveLost(ctx, 2))
	refused(t, b.Bootstrapped(ctx, g), ErrInvalid, "its home was removed")
	b.settle(three)
	refused(t, b.Bootstrapped(ctx, g), ErrInvalid, "before it began")
	wantLayout(t, b.State, "1 serving of 0: [1]", "2 serving of 1: [1]")
}
