package control

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
)

// sim is a cluster without raft: what raft would do is a list of voters that Next changes, and who
// has the entries. Members join, die, come back, drain, are replaced and removed in any order,
// while plans are made and taken over late, groups move one step at a time, and reports are late or
// lost.
type sim struct {
	*bench
	rng    *rand.Rand
	policy Policy
	groups map[uint64]*simGroup
	down   map[uint16]bool
	plan   Placement // made some time ago
	names  int
	trace  []any
}

// simGroup is what is true of a group; the state knows what was reported.
type simGroup struct {
	c      Configuration
	leader uint16          // 0: none
	has    map[uint16]bool // nearly all entries
}

func newSim(t *testing.T, seed uint64) *sim {
	s := &sim{bench: newBench(t), rng: rand.New(rand.NewPCG(seed, 3)),
		groups: map[uint64]*simGroup{}, down: map[uint16]bool{}}
	s.policy = Policy{Replicas: 3 + 2*s.rng.IntN(2), Reachable: s.alive}
	s.Reachable = s.alive
	s.protocol = MailboxProtocol
	s.members("mx1")
	s.groups[1] = &simGroup{c: Configuration{Voters: ids(1)}, has: map[uint16]bool{1: true}}
	return s
}

// alive reports whether others can talk to the member: a removed one is shut out.
func (s *sim) alive(id uint16) bool {
	m, _ := s.State.Member(id)
	return !s.down[id] && m.State != Removed
}

func (s *sim) pick(ids []uint16) uint16 {
	if len(ids) == 0 {
		return 0
	}
	return ids[s.rng.IntN(len(ids))]
}

func (s *sim) in(states ...MemberState) []uint16 { return s.State.view.Load().in(states...) }

// lives reports whether a majority of the voters is alive.
func (s *sim) lives(c Configuration) bool {
	n := 0
	for _, id := range c.Voters {
		if s.alive(id) {
			n++
		}
	}
	return n >= quorum(len(c.Voters))
}

// lead returns the group's leader, after an election if there has to be one; 0: there is no
// majority.
func (s *sim) lead(g *simGroup) uint16 {
	switch {
	case !s.lives(g.c):
		g.leader = 0
	case g.leader == 0 || !s.alive(g.leader) || !slices.Contains(g.c.Voters, g.leader):
		able := slices.DeleteFunc(slices.Clone(g.c.Voters),
			func(id uint16) bool { return !s.alive(id) || !g.has[id] })
		// all of them lag behind the one that had most before it died; in truth one of the others
		// has as much
		if len(able) == 0 {
			able = slices.DeleteFunc(slices.Clone(g.c.Voters),
				func(id uint16) bool { return !s.alive(id) })
		}
		g.leader = s.pick(able)
		g.has[g.leader] = true
	}
	return g.leader
}

// ok fails the test unless the command was done, or refused, which random commands may be.
func (s *sim) ok(err error) bool {
	s.t.Helper()
	if err != nil && !errors.Is(err, ErrInvalid) {
		s.t.Fatal(err)
	}
	return err == nil
}

// gone runs a removal, after which every group that holds something and could go on still can.
func (s *sim) gone(err func() error) {
	s.t.Helper()
	could := map[uint64]bool{}
	for id, g := range s.groups {
		could[id] = s.lives(g.c)
	}
	if s.ok(err()) {
		for id, g := range s.groups {
			if known, _ := s.State.Group(id); could[id] && !s.lives(g.c) &&
				known.State != GroupNew && known.State != GroupRetired {
				s.t.Fatalf("group %d %+v had a majority before: known as %+v", id, g.c, known)
			}
		}
	}
}

// operate is what people and misfortune do.
func (s *sim) operate() {
	present := s.in(Active, Draining)
	switch s.rng.IntN(13) {
	case 0, 1:
		if len(s.in(Joining, Active, Draining)) < 8 {
			s.names++
			m, err := s.AddMember(ctx,
				s.node("n"+string(rune('a'+s.names%26))+string(rune('a'+s.names/26%26))))
			if s.ok(err) && s.rng.IntN(4) > 0 {
				must(s.t, s.Activate(ctx, m.ID))
			}
		}
	case 2:
		s.ok(s.Activate(ctx, s.pick(s.in(Joining))))
	case 3:
		s.ok(s.Drain(ctx, s.pick(present)))
	case 4:
		s.ok(s.Undrain(ctx, s.pick(present)))
	case 5:
		s.gone(func() error { return s.Remove(ctx, s.pick(s.in(Joining, Draining))) })
	case 6:
		s.gone(func() error { return s.Remove(ctx, s.pick(present)) })
	case 7:
		s.gone(func() error { return s.Replace(ctx, s.pick(present), s.pick(s.in(Active))) })
	case 8:
		must(s.t, s.MakeShards(ctx, 1+s.rng.IntN(6)))
	case 9, 10:
		if len(s.down) < 3 {
			s.down[s.pick(present)] = true
		}
	default:
		if len(s.down) > 0 {
			s.up(s.pick(slices.Sorted(maps.Keys(s.down))))
		}
	}
}

// up brings a member back, perhaps behind the others.
func (s *sim) up(id uint16) {
	delete(s.down, id)
	for _, group := range slices.Sorted(maps.Keys(s.groups)) {
		if g := s.groups[group]; s.rng.IntN(2) == 0 && g.leader != id {
			delete(g.has, id)
		}
	}
}

// planning is what the control group's leader does; a plan may be taken over when the state has
// changed already.
func (s *sim) planning() (quiet bool) {
	if s.rng.IntN(3) > 0 {
		s.plan = Plan(s.State, s.policy)
	}
	err := s.Place(ctx, s.plan)
	if err != nil && !errors.Is(err, ErrStale) {
		s.t.Fatalf("a plan makes no sense: %v\n%+v", err, s.plan)
	}
	return Plan(s.State, s.policy).Empty()
}

// step lets every group do something or nothing.
func (s *sim) step() {
	for _, g := range s.State.Groups() {
		t := s.groups[g.ID]
		switch {
		case t == nil && g.State == GroupNew:
			if s.alive(g.Home) && s.rng.IntN(2) == 0 {
				s.groups[g.ID] = &simGroup{c: Configuration{Voters: ids(g.Home), Index: 1},
					has: map[uint16]bool{g.Home: true}}
			}
		case s.rng.IntN(3) > 0:
			s.drive(g, t)
		}
	}
}

// drive is what a group's leader does.
func (s *sim) drive(g Group, t *simGroup) {
	leader := s.lead(t)
	if leader == 0 {
		return
	}
	for _, id := range slices.Concat(t.c.Voters, t.c.Nonvoters) {
		if s.alive(id) && s.rng.IntN(3) == 0 &&
			slices.ContainsFunc(s.State.Hosts(id), func(h Group) bool { return h.ID == g.ID }) {
			t.has[id] = true
		}
	}
	if change, ok := Next(t.c, leader, g, func(id uint16) bool {
		return s.alive(id) && t.has[id]
	}); ok {
		s.change(g, t, change)
	}
	switch {
	case g.State == GroupNew:
		s.ok(s.Bootstrapped(ctx, g.ID))
	case s.rng.IntN(2) == 0:
		s.ok(s.Observed(ctx, g.ID, t.c))
	case s.rng.IntN(8) == 0 && g.Observed.Index > 1:
		// late
		s.ok(s.Observed(ctx, g.ID, Configuration{Voters: ids(1), Index: g.Observed.Index - 1}))
	}
}

// change makes a change and checks what must hold of every one.
func (s *sim) change(g Group, t *simGroup, change Change) {
	before, c := t.c, &t.c
	c.Index++
	switch id := change.Member; change.Kind {
	case AddNonvoter:
		if slices.Contains(c.Voters, id) || slices.Contains(c.Nonvoters, id) {
			s.t.Fatalf("%v, but %d is there", change, id)
		}
		c.Nonvoters = union(c.Nonvoters, ids(id))
	case AddVoter:
		if !slices.Contains(c.Nonvoters, id) || !t.has[id] || !s.alive(id) {
			s.t.Fatalf("%v: %d has not caught up", change, id)
		}
		c.Voters, c.Nonvoters = union(c.Voters, ids(id)), without(c.Nonvoters, id)
	case Demote:
		c.Voters, c.Nonvoters = without(c.Voters, id), union(c.Nonvoters, ids(id))
	case Remove:
		c.Voters, c.Nonvoters = without(c.Voters, id), without(c.Nonvoters, id)
		delete(t.has, id)
	case Transfer:
		if !slices.Contains(c.Voters, id) || !s.alive(id) || !t.has[id] ||
			slices.Contains(g.Voters, t.leader) {
			s.t.Fatalf("%v from %d makes no sense in %+v", change, t.leader, before)
		}
		t.leader = id
	}
	s.trace = append(s.trace, g.ID, change)
	switch {
	case len(minus(c.Voters, before.Voters))+len(minus(before.Voters, c.Voters)) > 1:
		s.t.Fatalf("two changes at once: %+v to %+v", before, *c)
	case len(c.Voters) < min(len(before.Voters), len(g.Voters)):
		s.t.Fatalf("too few voters: %+v to %+v, wanted %+v", before, *c, g)
	case change.Kind != AddNonvoter && !slices.Contains(c.Voters, t.leader):
		s.t.Fatalf("%v removes the leader", change)
	case s.lives(before) && !s.lives(*c):
		s.t.Fatalf("%v loses the majority: %+v to %+v", change, before, *c)
	}
}

// quieten lets everything come to rest, with everybody back.
func (s *sim) quieten() {
	for _, id := range slices.Sorted(maps.Keys(s.down)) {
		s.up(id)
	}
	for _, id := range s.in(Joining) {
		must(s.t, s.Activate(ctx, id))
	}
	if len(s.in(Active)) == 0 {
		must(s.t, s.Undrain(ctx, s.pick(s.in(Draining))))
	}
	for range 4000 {
		s.step()
		if s.planning() && s.rest() {
			return
		}
	}
	s.t.Fatalf("no rest: %s\nplanned %+v", layout(s.State), Plan(s.State, s.policy))
}

// stall lets things go as far as they can with those who are up: it must not go on for ever for
// want of those who are not.
func (s *sim) stall() {
	for round, last, quiet := 0, 0, 0; quiet < 30; round++ {
		if round == 4000 {
			s.t.Fatalf("changes without end: %s\nof late %v", layout(s.State),
				s.trace[len(s.trace)-20:])
		}
		version := s.State.Version()
		s.step()
		if s.lead(s.groups[1]) != 0 {
			s.planning()
		}
		if quiet++; s.State.Version() != version || len(s.trace) != last {
			quiet = 0
		}
		last = len(s.trace)
	}
}

// rest reports whether every group is as it should be, and known to be.
func (s *sim) rest() bool {
	for _, g := range s.State.Groups() {
		if t := s.groups[g.ID]; t == nil || !g.Settled() || g.Unreported(t.c) {
			return false
		}
	}
	return true
}

// check compares what came of it with what should be.
func (s *sim) check() {
	s.t.Helper()
	active, load := s.in(Active), map[string]map[uint16]int{KindQueue: {}, KindMailbox: {}}
	voters := min(len(active), 3)
	if len(active) >= s.policy.Replicas {
		voters = s.policy.Replicas
	}
	control := []int{0, 1, 2, 3, 3, 5, 5, 5, 5}[len(active)]
	homes := 0
	for _, g := range s.State.Groups() {
		want := voters
		if g.Kind == KindControl {
			want = control
			if !slices.Equal(union(g.Voters, g.Nonvoters), s.in(Active, Draining)) {
				s.t.Errorf("the control group is on %v and %v", g.Voters, g.Nonvoters)
			}
		}
		if len(g.Voters) != want || len(minus(g.Voters, active)) != 0 {
			s.t.Errorf("group %d is on %v, active are %v", g.ID, g.Voters, active)
		}
		if g.State == GroupServing && g.hasMail() {
			if g.Kind == KindQueue {
				homes++
			}
			for _, id := range g.Voters {
				load[g.Kind][id]++
			}
			if !slices.Contains(g.Voters, g.Home) {
				s.t.Errorf("group %d is not at home: %v", g.ID, g.Voters)
			}
		}
		if _, more := Next(s.groups[g.ID].c, s.lead(s.groups[g.ID]), g,
			func(uint16) bool { return true }); more {
			s.t.Errorf("group %d is not at rest", g.ID)
		}
	}
	if homes != len(active) {
		s.t.Errorf("%d home groups for %d members", homes, len(active))
	}
	for kind, load := range load {
		for _, a := range active {
			for _, b := range active {
				if load[a] > load[b]+1 {
					s.t.Errorf("member %d has %d groups (%s), member %d only %d", a, load[a], kind,
						b, load[b])
				}
			}
		}
	}
	s.checkShards()
	for _, id := range s.in(Removed) {
		if len(s.State.Hosts(id)) != 0 {
			s.t.Errorf("removed member %d has groups", id)
		}
	}
}

// checkShards compares the groups of mailboxes with what should be: one for each shard, and what
// they are led by spread as far as moving one leadership can.
func (s *sim) checkShards() {
	leads := map[uint16]int{}
	for shard, id := range s.State.Shards() {
		g, _ := s.State.Group(id)
		if g.Kind != KindMailbox || g.State != GroupServing || g.Shard != shard {
			s.t.Errorf("shard %d has group %d: %+v", shard, id, g)
		}
		leads[g.Home]++
	}
	for _, g := range s.State.Groups() {
		if g.Kind == KindMailbox && s.State.Shards()[g.Shard] != g.ID {
			s.t.Errorf("group %d is of shard %d, but not its group", g.ID, g.Shard)
		}
		for _, id := range g.Voters {
			if g.Kind == KindMailbox && leads[g.Home] > leads[id]+1 {
				s.t.Errorf(
					"group %d is led by member %d, who leads %d, and not by %d, who leads %d", g.ID,
					g.Home, leads[g.Home], id, leads[id])
			}
		}
	}
}

// empty ends the draining groups, after which nobody that drains has anything.
func (s *sim) empty() {
	s.t.Helper()
	for _, g := range s.State.Groups() {
		if g.State == GroupDraining {
			must(s.t, s.Retire(ctx, g.ID))
		}
	}
	s.quieten()
	for _, id := range s.in(Draining) {
		if placed := s.State.Placed(id); len(placed) != 0 {
			s.t.Errorf("member %d is drained and still in groups %v", id, placed)
		}
		must(s.t, s.Remove(ctx, id))
		s.quieten() // or the next is refused while the groups take note of this one
	}
	s.quieten()
	s.check()
}

func simulate(t *testing.T, seed uint64) *sim {
	t.Helper()
	s := newSim(t, seed)
	for range 3 {
		for range 60 {
			if s.lead(s.groups[1]) != 0 {
				switch s.rng.IntN(4) {
				case 0:
					s.operate()
				case 1:
					s.planning()
				case 2:
					if g := s.pickGroup(); g.State == GroupDraining && s.rng.IntN(3) == 0 {
						must(t, s.Retire(ctx, g.ID))
					}
				}
			} else if len(s.down) > 0 {
				s.up(s.pick(slices.Sorted(maps.Keys(s.down))))
			}
			s.step()
		}
		s.stall()
		s.quieten()
		s.check()
	}
	s.empty()
	again := New()
	must(t, again.Load(s.store))
	if !same(again, s.State) {
		t.Error("the rows are not what the view is")
	}
	return s
}

func (s *sim) pickGroup() Group {
	all := s.State.Groups()
	return all[s.rng.IntN(len(all))]
}

func TestSimulation(t *testing.T) {
	seeds := uint64(100)
	if os.Getenv("POSTROAD_LONG") != "" {
		seeds = 6000
	}
	steps := 0
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			steps += len(simulate(t, seed).trace) / 2
		})
	}
	t.Logf("%d changes of configurations and leaders", steps)
	if steps < int(seeds)*20 {
		t.Error("too little happened")
	}
}
