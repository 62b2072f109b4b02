package control

import (
	"cmp"
	"slices"
)

// Policy is what a plan depends on beside the state.
type Policy struct {
	Replicas int // voters of a group with mail when there are as many active members: 3 or 5
	// Reachable reports whether a member answers; nil: all do. New places go to those that do, as
	// long as there are enough.
	Reachable func(member uint16) bool
}

// Placement is what Plan wants changed, made of the state at Basis.
type Placement struct {
	Basis uint64 `json:"basis"`
	// ID 0: a new one. Only Home, State, Voters and Nonvoters count, and of a new one Kind and
	// Shard
	Groups []Group `json:"groups"`
}

// Empty reports whether there is nothing to change.
func (p Placement) Empty() bool { return len(p.Groups) == 0 }

// Plan says what should change in the state, as its members are now; Editor.Place makes it so. The
// control group's leader plans after each change of the state and each change of what it can reach.
// Once a plan was taken over and nothing else happens, the next is empty, but for rebalancing,
// which moves one voter at a time, and only while all groups lie as they should.
func Plan(s *State, policy Policy) Placement { return plan(s.view.Load(), policy) }

// maxControlVoters bounds the control group's voters; the other members watch.
const maxControlVoters = 5

type planner struct {
	policy Policy
	m      *model
	groups []Group                   // as they are to be; the new ones are at the end, with ID 0
	active []uint16                  // members that may have places
	load   map[string]map[uint16]int // by kind: voters that each member has in groups that stay
	leads  map[uint16]int            // groups of mailboxes that each member is to lead
}

func plan(m *model, policy Policy) Placement {
	p := &planner{policy: policy, m: m, groups: slices.Clone(m.groups), active: m.in(Active),
		load: map[string]map[uint16]int{KindQueue: {}, KindMailbox: {}}, leads: map[uint16]int{}}
	p.lives()
	p.homes()
	p.found()
	p.places()
	if len(p.changes()) == 0 {
		p.balance()
	}
	p.control()
	return Placement{Basis: m.counts.Planned, Groups: p.changes()}
}

// lives moves every group on in its life: a queue group as its home is. A group of mailboxes ends
// only before it began.
func (p *planner) lives() {
	for i := range p.groups {
		g := &p.groups[i]
		if g.Kind == KindMailbox && g.State == GroupNew && p.stillborn(g) {
			g.State = GroupRetired
		}
		if g.Kind != KindQueue {
			continue
		}
		home := p.m.member(g.Home).State == Active
		switch {
		case g.State == GroupNew && !home:
			g.State = GroupRetired
		case g.State == GroupServing && !home:
			g.State = GroupDraining
		case g.State == GroupDraining && home:
			g.State = GroupServing
		}
	}
}

// homes gives each active member that has none a home group.
func (p *planner) homes() {
	for _, id := range p.active {
		if p.m.home(id) == nil {
			p.groups = append(p.groups, Group{Kind: KindQueue, Home: id, State: GroupNew,
				Voters: []uint16{id}})
		}
	}
}

// places sets the voters of all groups. What can stay stays; it is counted before anything is taken
// away or added.
func (p *planner) places() {
	p.each(func(g *Group) {
		if len(p.active) > 0 {
			g.Voters = p.awaited(g, p.stay(g.Voters))
		} else {
			g.Voters = p.remaining(g.Voters)
		}
		p.count(g.Voters, g, 1)
	})
	p.each(p.rehome)
	p.each(p.trim)
	p.each(p.fill)
	p.each(p.rehome)
}

// each calls f with the groups that hold mail.
func (p *planner) each(f func(*Group)) {
	for i := range p.groups {
		if g := &p.groups[i]; g.hasMail() && g.State != GroupRetired {
			f(g)
		}
	}
}

// count counts voters of a group that stays.
func (p *planner) count(voters []uint16, g *Group, by int) {
	if g.State == GroupDraining {
		return
	}
	for _, id := range voters {
		p.load[g.Kind][id] += by
	}
}

// replicas is the number of voters of a group with mail.
func (p *planner) replicas() int {
	n := len(p.active)
	if n >= p.policy.Replicas {
		return max(min(n, 3), p.policy.Replicas)
	}
	return min(n, 3)
}

// trim takes out what is above the number, but never the home.
func (p *planner) trim(g *Group) {
	if home := []uint16{g.Home}; g.Kind == KindQueue && slices.Contains(p.active, g.Home) &&
		!slices.Contains(g.Voters, g.Home) {
		g.Voters = union(g.Voters, home)
		p.count(home, g, 1)
	}
	for want := p.replicas(); want > 0 && len(g.Voters) > want; {
		spare := p.spare(g, without(g.Voters, g.Home))
		g.Voters = without(g.Voters, spare)
		p.count([]uint16{spare}, g, -1)
	}
}

// stay returns the active ones among the members.
func (p *planner) stay(ids []uint16) []uint16 { return minus(ids, minus(ids, p.active)) }

// awaited drops the members that have not taken their place in the group yet and do not answer: so
// long as there are others, nobody waits for them. A place that was taken is kept in silence, for
// most that are silent come back, and the group has what they hold.
func (p *planner) awaited(g *Group, ids []uint16) []uint16 {
	others := slices.DeleteFunc(minus(p.active, ids), func(id uint16) bool {
		return p.silence(id) > 0
	})
	return slices.DeleteFunc(ids, func(id uint16) bool {
		founds := id == g.Home && (g.Kind == KindQueue || g.State == GroupNew)
		if founds || len(others) == 0 || away(g, id) == 0 || p.silence(id) == 0 {
			return false
		}
		others = others[1:]
		return true
	})
}

// remaining returns those that were not removed: with nobody active, things stay as they are.
func (p *planner) remaining(ids []uint16) []uint16 {
	return minus(ids, minus(ids, p.m.in(Active, Draining)))
}

// spare returns the member that a group needs least, best the one that it gains most by.
func (p *planner) spare(g *Group, ids []uint16) uint16 {
	return slices.MaxFunc(ids, p.order(g, p.load[g.Kind]))
}

func (p *planner) best(g *Group, ids []uint16) uint16 {
	return slices.MinFunc(ids, p.order(g, p.load[g.Kind]))
}

// order compares members by how much a group gains by them, most first: one that answers before
// others, then one that has got the group already, then the one with the lowest load, then the
// oldest.
func (p *planner) order(g *Group, load map[uint16]int) func(a, b uint16) int {
	return func(a, b uint16) int {
		return cmp.Or(p.silence(a)-p.silence(b), away(g, a)-away(g, b), load[a]-load[b],
			cmp.Compare(a, b))
	}
}

// away is 1 for a member that is not a voter of the group.
func away(g *Group, id uint16) int {
	if slices.Contains(g.Observed.Voters, id) {
		return 0
	}
	return 1
}

// silence is 1 for a member that does not answer.
func (p *planner) silence(id uint16) int {
	if p.policy.Reachable != nil && !p.policy.Reachable(id) {
		return 1
	}
	return 0
}

// fill adds voters up to the number.
func (p *planner) fill(g *Group) {
	for want := p.replicas(); len(g.Voters) < want; {
		added := []uint16{p.best(g, minus(p.active, g.Voters))}
		g.Voters = union(g.Voters, added)
		p.count(added, g, 1)
	}
}

// control places the control group: up to five voters, from three on an odd number, the oldest, for
// no load is counted; all others watch.
func (p *planner) control() {
	if len(p.groups) == 0 {
		return // before Init
	}
	g := &p.groups[ControlGroup-1]
	n := min(len(p.active), maxControlVoters)
	if n > 2 && n%2 == 0 {
		n--
	}
	if n == 0 {
		g.Voters = p.remaining(g.Voters)
	} else {
		g.Voters = p.awaited(g, p.stay(g.Voters))
	}
	for n > 0 && len(g.Voters) > n {
		g.Voters = without(g.Voters, p.spare(g, g.Voters))
	}
	for len(g.Voters) < n {
		g.Voters = union(g.Voters, []uint16{p.best(g, minus(p.active, g.Voters))})
	}
	g.Nonvoters = minus(p.m.in(Active, Draining), g.Voters)
}

// changes returns the groups that are to be other than they are.
func (p *planner) changes() []Group {
	var changes []Group
	for i, g := range p.groups {
		if g.ID == 0 || g.Home != p.m.groups[i].Home || g.State != p.m.groups[i].State ||
			!slices.Equal(g.Voters, p.m.groups[i].Voters) ||
			!slices.Equal(g.Nonvoters, p.m.groups[i].Nonvoters) {
			g.Observed = Configuration{}
			changes = append(changes, g)
		}
	}
	return changes
}

// balance moves one voter, or who leads one group, if that makes the members more alike and no
// group with mail is moving.
func (p *planner) balance() {
	for _, g := range p.groups {
		if g.hasMail() && (g.State == GroupNew || g.State == GroupServing &&
			!slices.Equal(g.Voters, g.Observed.Voters)) {
			return
		}
	}
	able := slices.DeleteFunc(slices.Clone(p.active), func(id uint16) bool {
		return p.silence(id) > 0
	})
	if len(able) < 2 || p.balanceVoters(KindQueue, able) || p.balanceVoters(KindMailbox, able) {
		return
	}
	p.balanceLeads(able)
}

// balanceVoters moves a voter from the member with the most of a kind to the one with the fewest.
// Each move lowers the sum of the squares, so that it ends.
func (p *planner) balanceVoters(kind string, able []uint16) bool {
	load := p.load[kind]
	byLoad := func(a, b uint16) int { return cmp.Or(load[a]-load[b], cmp.Compare(a, b)) }
	least, most := slices.MinFunc(able, byLoad), slices.MaxFunc(able, byLoad)
	if load[most]-load[least] < 2 {
		return false
	}
	var move *Group
	for i := range p.groups {
		g := &p.groups[i]
		if g.Kind != kind || g.State != GroupServing || !slices.Contains(g.Voters, most) ||
			slices.Contains(g.Voters, least) {
			continue
		}
		if g.Home != most {
			move = g
			break
		}
		if kind == KindMailbox && move == nil {
			move = g // for want of one that it does not lead
		}
	}
	if move == nil {
		return false
	}
	move.Voters = inherit(move.Voters, most, least)
	p.rehome(move)
	return true
}
