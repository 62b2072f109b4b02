package control

import (
	"cmp"
	"slices"
)

// Policy is what a plan depends on beside the state.
type Policy struct {
	Replicas int // voters of a queue group when there are as many active members: 3 or 5
	// Reachable reports whether a member answers; nil: all do. New places go to those that do, as long as there are enough.
	Reachable func(member uint16) bool
}

// Placement is what Plan wants changed, made of the state at Basis.
type Placement struct {
	Basis  uint64  `json:"basis"`
	Groups []Group `json:"groups"` // ID 0: a new one. Only Home, State, Voters and Nonvoters count
}

// Empty reports whether there is nothing to change.
func (p Placement) Empty() bool { return len(p.Groups) == 0 }

// Plan says what should change in the state, as its members are now; Editor.Place makes it so. The control group's leader plans after
// each change of the state and each change of what it can reach. Once a plan was taken over and nothing else happens, the next is empty, but
// for rebalancing, which moves one voter at a time, and only while all groups lie as they should.
func Plan(s *State, policy Policy) Placement { return plan(s.view.Load(), policy) }

// maxControlVoters bounds the control group's voters; the other members watch.
const maxControlVoters = 5

type planner struct {
	policy Policy
	m      *model
	groups []Group        // as they are to be; the new ones are at the end, with ID 0
	active []uint16       // members that may have places
	load   map[uint16]int // voters that each member has in groups that stay
}

func plan(m *model, policy Policy) Placement {
	p := &planner{policy: policy, m: m, groups: slices.Clone(m.groups), active: m.in(Active), load: map[uint16]int{}}
	p.lives()
	p.homes()
	p.places()
	changes := p.changes()
	if len(changes) == 0 && p.balance() {
		changes = p.changes()
	}
	return Placement{Basis: m.counts.Planned, Groups: changes}
}

// lives moves every queue group on in its life, as its home is.
func (p *planner) lives() {
	for i := range p.groups {
		g := &p.groups[i]
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
			p.groups = append(p.groups, Group{Kind: KindQueue, Home: id, State: GroupNew, Voters: []uint16{id}})
		}
	}
}

// places sets the voters of all groups. What can stay stays; it is counted before anything is added.
func (p *planner) places() {
	p.eachQueue(p.trim)
	p.eachQueue(func(g *Group) {
		if g.State != GroupDraining {
			p.count(g, 1)
		}
	})
	p.eachQueue(p.fill)
	p.control()
}

func (p *planner) eachQueue(f func(*Group)) {
	for i := range p.groups {
		if g := &p.groups[i]; g.Kind == KindQueue && g.State != GroupRetired {
			f(g)
		}
	}
}

func (p *planner) count(g *Group, by int) {
	for _, id := range g.Voters {
		p.load[id] += by
	}
}

// replicas is the number of voters of a queue group.
func (p *planner) replicas() int {
	n := len(p.active)
	if n >= p.policy.Replicas {
		return max(min(n, 3), p.policy.Replicas)
	}
	return min(n, 3)
}

// trim takes out members that are not active, and what is above the number: those that do not answer first, then the newest; never the home.
func (p *planner) trim(g *Group) {
	want := p.replicas()
	if want == 0 {
		g.Voters = p.remaining(g.Voters)
		return
	}
	g.Voters = p.stay(g.Voters)
	if slices.Contains(p.active, g.Home) && !slices.Contains(g.Voters, g.Home) {
		g.Voters = union(g.Voters, []uint16{g.Home})
	}
	for len(g.Voters) > want {
		g.Voters = without(g.Voters, p.last(without(g.Voters, g.Home)))
	}
}

// stay returns the active ones among the members.
func (p *planner) stay(ids []uint16) []uint16 { return minus(ids, minus(ids, p.active)) }

// remaining returns those that were not removed: with nobody active, things stay as they are.
func (p *planner) remaining(ids []uint16) []uint16 {
	return minus(ids, minus(ids, p.m.in(Active, Draining)))
}

// last returns the member that can be spared best.
func (p *planner) last(ids []uint16) uint16 {
	return slices.MaxFunc(ids, func(a, b uint16) int { return cmp.Or(p.silence(a)-p.silence(b), cmp.Compare(a, b)) })
}

// silence is 1 for a member that does not answer.
func (p *planner) silence(id uint16) int {
	if p.policy.Reachable != nil && !p.policy.Reachable(id) {
		return 1
	}
	return 0
}

// fill adds voters up to the number: those that answer before others, then those that have the group still, then those with the fewest.
func (p *planner) fill(g *Group) {
	for want := p.replicas(); len(g.Voters) < want; {
		away := func(id uint16) int {
			if slices.Contains(g.Observed.Voters, id) {
				return 0
			}
			return 1
		}
		best := slices.MinFunc(minus(p.active, g.Voters), func(a, b uint16) int {
			return cmp.Or(p.silence(a)-p.silence(b), away(a)-away(b), p.load[a]-p.load[b], cmp.Compare(a, b))
		})
		g.Voters = union(g.Voters, []uint16{best})
		if g.State != GroupDraining {
			p.load[best]++
		}
	}
}

// control places the control group: up to five voters, from three on an odd number, the oldest; all others watch.
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
		g.Voters = p.stay(g.Voters)
	}
	for n > 0 && len(g.Voters) > n {
		g.Voters = without(g.Voters, p.last(g.Voters))
	}
	for len(g.Voters) < n {
		g.Voters = union(g.Voters, []uint16{slices.MinFunc(minus(p.active, g.Voters), func(a, b uint16) int {
			return cmp.Or(p.silence(a)-p.silence(b), cmp.Compare(a, b))
		})})
	}
	g.Nonvoters = minus(p.m.in(Active, Draining), g.Voters)
}

// changes returns the groups that are to be other than they are.
func (p *planner) changes() []Group {
	var changes []Group
	for i, g := range p.groups {
		if g.ID == 0 || g.State != p.m.groups[i].State ||
			!slices.Equal(g.Voters, p.m.groups[i].Voters) || !slices.Equal(g.Nonvoters, p.m.groups[i].Nonvoters) {
			g.Observed = Configuration{}
			changes = append(changes, g)
		}
	}
	return changes
}

// balance moves one voter from a member with the most to one with the fewest, if that makes them more alike and nothing else
// is moving. Each move lowers the sum of the squares, so that it ends.
func (p *planner) balance() bool {
	for _, g := range p.groups {
		if g.Kind == KindQueue && (g.State == GroupNew || g.State == GroupServing && !slices.Equal(g.Voters, g.Observed.Voters)) {
			return false
		}
	}
	byLoad := func(a, b uint16) int { return cmp.Or(p.load[a]-p.load[b], cmp.Compare(a, b)) }
	able := slices.DeleteFunc(slices.Clone(p.active), func(id uint16) bool { return p.silence(id) > 0 })
	if len(able) < 2 {
		return false
	}
	least, most := slices.MinFunc(able, byLoad), slices.MaxFunc(able, byLoad)
	if p.load[most]-p.load[least] < 2 {
		return false
	}
	for i := range p.groups {
		g := &p.groups[i]
		if g.Kind == KindQueue && g.State == GroupServing && g.Home != most && slices.Contains(g.Voters, most) && !slices.Contains(g.Voters, least) {
			g.Voters = inherit(g.Voters, most, least)
			return true
		}
	}
	return false
}
