package control

import (
	"slices"
)

// HandOverProtocol is the first that hands mail of a queue group that is to go over to another
// group.
const HandOverProtocol = 4

// observed records what a group's leader reports. A report that comes late changes nothing.
func (d *draft) observed(c *command) Result {
	g := d.group(c.Group)
	switch {
	case g == nil:
		return refuse(Unknown, "there is no group %d", c.Group)
	case g.State == GroupRetired || g.State == GroupNew || c.Seen.Index < g.Observed.Index &&
		!d.unnumbered(c.Seen) || c.Seen.Index == g.Observed.Index &&
		c.Seen.Plan <= g.Observed.Plan && c.Seen.sameMembers(g.Observed):
		return Result{}
	}
	for _, id := range slices.Concat(c.Seen.Voters, c.Seen.Nonvoters) {
		if d.member(id) == nil {
			return refuse(Unknown, "there is no member %d", id)
		}
	}
	d.edit(g.ID).Observed = *c.Seen
	return Result{}
}

// unnumbered reports whether nobody knows at which entry a configuration was seen, as raft does not
// tell. Before protocol 3 such a report was late for ever in a group that had been recovered, whose
// first report had a number.
func (d *draft) unnumbered(seen *Configuration) bool {
	return seen.Index == 0 && d.counts.Protocol >= MailboxProtocol
}

// bootstrapped begins the group's service: its home is its only voter now.
func (d *draft) bootstrapped(c *command) Result {
	g := d.group(c.Group)
	switch {
	case g == nil:
		return refuse(Unknown, "there is no group %d", c.Group)
	case g.State == GroupRetired:
		return refuse(Refused, "group %d was retired before it began", g.ID)
	case g.State != GroupNew:
		return Result{}
	case d.member(g.Home).State == Removed:
		return refuse(Refused, "group %d will never begin: its home was removed", g.ID)
	}
	g = d.replan(g.ID)
	g.State, g.Observed = GroupServing, Configuration{Voters: []uint16{g.Home}}
	return Result{}
}

// retire ends a group that its leader has reported empty.
func (d *draft) retire(c *command) Result {
	g := d.group(c.Group)
	switch {
	case g == nil:
		return refuse(Unknown, "there is no group %d", c.Group)
	case g.State == GroupRetired:
		return Result{}
	case g.State != GroupDraining:
		return refuse(Refused, "group %d is %s, not draining", g.ID, g.State)
	}
	d.end(g.ID)
	return Result{}
}

func (d *draft) end(id uint64) {
	g := d.replan(id)
	*g = Group{ID: g.ID, Kind: g.Kind, Shard: g.Shard, Home: g.Home, State: GroupRetired,
		Plan: g.Plan}
}

// place takes a plan over as a whole, or not at all.
func (d *draft) place(c *command) Result {
	if c.Place.Basis != d.counts.Planned {
		return refuse(Stale, "the plan was made of an older state")
	}
	for _, want := range c.Place.Groups {
		if r := d.placeGroup(&want); r.Code != Done {
			return r
		}
	}
	return Result{}
}

func (d *draft) placeGroup(want *Group) Result {
	if want.ID == 0 {
		made, r := d.create(want)
		if r.Code != Done {
			return r
		}
		want.ID, want.State = made.ID, GroupNew
	}
	g := d.group(want.ID)
	if g == nil {
		return refuse(Unknown, "there is no group %d", want.ID)
	}
	if g.Kind == KindControl && want.State != g.State {
		return refuse(Refused, "the control group always serves")
	}
	if want.State != g.State && !moves[g.State][want.State] {
		return refuse(Refused, "group %d cannot become %s: it is %s", g.ID, want.State, g.State)
	}
	if want.State == GroupRetired {
		d.end(g.ID)
		return Result{}
	}
	if len(want.Voters) == 0 {
		return refuse(Refused, "group %d would have no voters", g.ID)
	}
	for _, id := range slices.Concat(want.Voters, want.Nonvoters) {
		if m := d.member(id); m == nil || m.State == Joining || m.State == Removed {
			return refuse(Refused, "member %d is not to be in group %d", id, g.ID)
		}
	}
	if r := d.settleShard(g, want); r.Code != Done {
		return r
	}
	g = d.replan(g.ID)
	g.State, g.Voters, g.Nonvoters = want.State, union(want.Voters),
		minus(union(want.Nonvoters), want.Voters)
	return Result{}
}

// create makes a new group, for a member's own mail or for a shard of the mailboxes.
func (d *draft) create(want *Group) (*Group, Result) {
	if d.counts.Groups >= maxGroup {
		return nil, refuse(Full, "%d groups have been made, and there can be no more", maxGroup)
	}
	if want.Kind == KindMailbox {
		return d.newShard(want)
	}
	if m := d.member(want.Home); m == nil || m.State != Active || d.home(m.ID) != nil {
		return nil, refuse(Refused, "member %d is not to get a home group", want.Home)
	}
	return d.newGroup(KindQueue, want.Home), Result{}
}

// moves are the steps of a group's life that a plan may take. A leader's reports take the others.
var moves = map[GroupState]map[GroupState]bool{
	GroupNew:      {GroupRetired: true},
	GroupServing:  {GroupDraining: true},
	GroupDraining: {GroupServing: true},
}

func (c Configuration) sameMembers(o Configuration) bool {
	return slices.Equal(c.Voters, o.Voters) && slices.Equal(c.Nonvoters, o.Nonvoters)
}

// The lists of members are sets in ascending order; none of these changes its arguments.

func union(lists ...[]uint16) []uint16 {
	all := slices.Concat(lists...)
	slices.Sort(all)
	return slices.Compact(all)
}

func minus(a, b []uint16) []uint16 {
	return slices.DeleteFunc(slices.Clone(a), func(id uint16) bool {
		return slices.Contains(b, id)
	})
}

func without(a []uint16, id uint16) []uint16 { return minus(a, []uint16{id}) }

// inherit gives old's place in a to heir, if old has one.
func inherit(a []uint16, old, heir uint16) []uint16 {
	if !slices.Contains(a, old) {
		return a
	}
	return union(without(a, old), []uint16{heir})
}
