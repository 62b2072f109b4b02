package control

import (
	"slices"
)

func (d *draft) init(c *command) Result {
	if d.model.cluster.ID != "" {
		if m := d.member(1); m.Incarnation == c.Node.Incarnation {
			return Result{Member: m}
		}
		return refuse(Exists,
			"this is cluster %s already; nodes join it with `postroad cluster join`",
			d.model.cluster.ID)
	}
	d.model.cluster, d.cluster = *c.Cluster, true
	m := d.newMember(c.Node)
	m.State = Active
	g := d.newGroup(KindControl, 0)
	g.State, g.Voters = GroupServing, []uint16{m.ID}
	g.Observed = Configuration{Voters: g.Voters, Plan: g.Plan}
	g = d.newGroup(KindQueue, m.ID)
	g.Voters = []uint16{m.ID}
	added := *m
	return Result{Member: &added}
}

// refound makes it another cluster with the same content.
func (d *draft) refound(c *command) Result {
	if c.Cluster == nil || c.Cluster.ID == "" {
		return refuse(Refused, "the new identity is missing")
	}
	d.model.cluster, d.cluster = *c.Cluster, true
	d.model.tokens, d.tokens = nil, true
	d.forgetKeys()
	d.suspensionsOutlast()
	return Result{}
}

func (d *draft) addMember(c *command) Result {
	n := c.Node
	for i := range d.model.members {
		switch m := d.model.members[i]; {
		case m.Incarnation != n.Incarnation:
		case m.State == Removed:
			return refuse(Refused,
				"this data directory was that of %s (member %d), which was removed: empty it "+
					"and join again", m.Name, m.ID)
		case m.Name == n.Name:
			return d.addAgain(m.ID, n)
		default:
			return refuse(Exists,
				"this data directory is that of %s (member %d) already; a copied data directory "+
					"cannot join", m.Name, m.ID)
		}
	}
	if n.Protocol < d.counts.Protocol {
		return refuse(Refused,
			"the cluster speaks protocol %d and version %s of this node only %d: upgrade it, "+
				"then join", d.counts.Protocol, n.Version, n.Protocol)
	}
	if m := d.named(n.Name); m != nil {
		if m.State != Joining {
			return refuse(Exists,
				"%s is member %d already; if its disk is lost, join under another name and run "+
					"`postroad cluster replace %s NEW`", m.Name, m.ID, m.Name)
		}
		d.touch(m.ID).State = Removed // it never ran, and so holds nothing
	}
	if d.counts.Members == maxMember || len(d.in(Joining, Active, Draining)) >= MaxMembers {
		return refuse(Full, "a cluster has at most %d members", MaxMembers)
	}
	if r := d.useToken(c); r.Code != Done {
		return r
	}
	added := *d.newMember(n)
	return Result{Member: &added}
}

func (d *draft) activate(c *command) Result {
	m, r := d.present(c.Member)
	if r.Code == Done && m.State == Joining {
		d.touch(m.ID).State = Active
	}
	return r
}

func (d *draft) setAddress(c *command) Result {
	m, r := d.present(c.Member)
	if r.Code == Done && m.Address != c.Node.Address {
		d.touch(m.ID).Address = c.Node.Address
	}
	return r
}

func (d *draft) setVersion(c *command) Result {
	m, r := d.present(c.Member)
	switch {
	case r.Code != Done:
	case c.Node.Protocol < d.counts.Protocol:
		return refuse(Refused,
			"the cluster speaks protocol %d and version %s of this node only %d: start a newer "+
				"version", d.counts.Protocol, c.Node.Version, c.Node.Protocol)
	case m.Version != c.Node.Version || m.Protocol != c.Node.Protocol:
		m = d.touch(m.ID)
		m.Version, m.Protocol = c.Node.Version, c.Node.Protocol
	}
	return r
}

func (d *draft) drain(c *command) Result {
	m, r := d.present(c.Member)
	switch {
	case r.Code != Done:
	case m.State == Joining:
		return refuse(Refused, "%s has not run yet and holds nothing: remove it instead", m.Name)
	case m.State == Active:
		d.touch(m.ID).State = Draining
	}
	return r
}

func (d *draft) undrain(c *command) Result {
	m, r := d.present(c.Member)
	switch {
	case r.Code != Done:
	case m.State == Joining:
		return refuse(Refused, "%s has not run yet: start it", m.Name)
	case m.State == Draining:
		d.touch(m.ID).State = Active
	}
	return r
}

// remove takes a member out for good. Lost says that the groups were recovered without it: then no
// majority is asked for.
func (d *draft) remove(c *command) Result {
	m := d.member(c.Member)
	switch {
	case m == nil:
		return refuse(Unknown, "there is no member %d", c.Member)
	case m.State == Removed:
		return Result{}
	case m.State != Joining && len(d.in(Active, Draining)) == 1:
		return refuse(Refused, "%s is the last member", m.Name)
	}
	if r := d.dispensable(m, c); r.Code != Done {
		return r
	}
	d.touch(m.ID).State = Removed
	d.endTokens()
	for _, g := range d.model.groups {
		if slices.Contains(g.Voters, m.ID) || slices.Contains(g.Nonvoters, m.ID) {
			w := d.replan(g.ID)
			w.Voters, w.Nonvoters = without(g.Voters, m.ID), without(g.Nonvoters, m.ID)
		}
	}
	if c.Lost {
		d.endLost()
	}
	return Result{}
}

// endLost retires the groups of which no member has a copy any more: nobody could ever report them
// empty.
func (d *draft) endLost() {
	gone := d.in(Removed)
	for _, g := range d.model.groups {
		if g.hasMail() && g.State != GroupRetired && len(g.Observed.Voters) > 0 &&
			len(minus(g.Observed.Voters, gone)) == 0 {
			d.end(g.ID)
		}
	}
}

// replace gives a member's places to another, and removes it.
func (d *draft) replace(c *command) Result {
	m, r := d.present(c.Member)
	if r.Code != Done {
		return r
	}
	heir, r := d.present(c.Other)
	switch {
	case r.Code != Done:
		return r
	case heir.ID == m.ID:
		return refuse(Refused,
			"%s cannot replace itself: join the new node under another name first", m.Name)
	case heir.State != Active:
		return refuse(Refused, "%s is %s: it must be running to replace another", heir.Name,
			heir.State)
	}
	if r := d.dispensable(m, c); r.Code != Done {
		return r
	}
	d.touch(m.ID).State = Removed
	d.endTokens()
	for _, g := range d.model.groups {
		if slices.Contains(g.Voters, m.ID) || slices.Contains(g.Nonvoters, m.ID) {
			w := d.replan(g.ID)
			w.Voters = inherit(g.Voters, m.ID, heir.ID)
			w.Nonvoters = minus(inherit(g.Nonvoters, m.ID, heir.ID), w.Voters)
		}
	}
	return Result{}
}

// dispensable refuses a removal after which a group could not go on: the member is shut out at
// once, but raft still counts it until a majority of the others has agreed that it is gone.
func (d *draft) dispensable(m *Member, c *command) Result {
	if c.Lost {
		return Result{}
	}
	gone := func(id uint16) bool {
		return slices.Contains(c.Down, id) || d.member(id).State == Removed
	}
	for i := range d.model.groups {
		g := &d.model.groups[i]
		if len(g.Observed.Voters) == 0 || !g.names(m.ID) {
			continue
		}
		if g.Observed.Plan != g.Plan {
			return refuse(Busy,
				"group %d is about to change: repeat this in a moment; if it stays so, the "+
					"group has no leader", g.ID)
		}
		if !g.survives(m.ID, gone) {
			return refuse(Refused,
				"without %s group %d may have no majority: bring the other members back first, "+
					"or wait until others have its places", m.Name, g.ID)
		}
	}
	return Result{}
}

// survives reports whether the group has a majority without the member. Its leader has reported
// since it was planned, and may have made one step towards the plan after that: each configuration
// that may be in force must bear it.
func (g *Group) survives(member uint16, gone func(uint16) bool) bool {
	bears := func(voters []uint16) bool {
		left := slices.DeleteFunc(without(voters, member), gone)
		return !slices.Contains(voters, member) || len(left) >= quorum(len(voters))
	}
	seen := g.Observed.Voters
	for _, id := range minus(g.Voters, seen) {
		if !bears(union(seen, []uint16{id})) {
			return false
		}
	}
	for _, id := range minus(seen, g.Voters) {
		if !bears(without(seen, id)) {
			return false
		}
	}
	return bears(seen)
}

func quorum(voters int) int { return voters/2 + 1 }
