package control

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// Cluster returns the cluster's random name; false before Init.
func (s *State) Cluster() (id string, ok bool) {
	m := s.view.Load()
	return m.cluster.ID, m.cluster.ID != ""
}

// Authority returns the certificate and the key, PEM, that sign the members' certificates. The key
// never goes into a listing.
func (s *State) Authority() (cert, key []byte) {
	m := s.view.Load()
	return bytes.Clone(m.cluster.CACert), bytes.Clone(m.cluster.CAKey)
}

// Version is the log index of the last change.
func (s *State) Version() uint64 { return s.view.Load().counts.Version }

// Members returns those that were not removed, lowest number first.
func (s *State) Members() []Member {
	m := s.view.Load()
	return slices.DeleteFunc(slices.Clone(m.members), func(c Member) bool {
		return c.State == Removed
	})
}

// Active returns how many members may have places in groups. One that got its certificate and never
// came is none of them, and one that drains is none any more.
func (s *State) Active() int { return len(s.view.Load().in(Active)) }

// Member returns a member, removed ones too.
func (s *State) Member(id uint16) (Member, bool) {
	if c := s.view.Load().member(id); c != nil {
		return *c, true
	}
	return Member{}, false
}

// MemberByName returns the present member of that name.
func (s *State) MemberByName(name string) (Member, bool) {
	if c := s.view.Load().named(name); c != nil {
		return *c, true
	}
	return Member{}, false
}

// Groups returns those that are not retired, lowest number first.
func (s *State) Groups() []Group {
	m := s.view.Load()
	return slices.DeleteFunc(slices.Clone(m.groups), func(g Group) bool {
		return g.State == GroupRetired
	})
}

// Group returns a group, retired ones too.
func (s *State) Group(id uint64) (Group, bool) {
	if g := s.view.Load().group(id); g != nil {
		return *g, true
	}
	return Group{}, false
}

// HomeOf returns the group of the member's own mail. It may be new, serving or draining.
func (s *State) HomeOf(member uint16) (group uint64, ok bool) {
	if g := s.view.Load().home(member); g != nil {
		return g.ID, true
	}
	return 0, false
}

// Hosts returns the groups that the member is to run: those that it should be in and those that it
// still is in. What it holds of other groups it may delete, once its own view is no older than that
// of whoever told it to go. A new group is run by its home alone.
func (s *State) Hosts(member uint16) []Group {
	m := s.view.Load()
	var hosts []Group
	for _, g := range m.groups {
		if g.State == GroupNew && g.Home == member || g.State != GroupNew && g.names(member) {
			hosts = append(hosts, g)
		}
	}
	return hosts
}

// Placed returns the groups that still depend on the member: all must be gone from it before it is
// drained.
func (s *State) Placed(member uint16) (groups []uint64) {
	for _, g := range s.view.Load().groups {
		if g.State == GroupRetired || g.Kind == KindControl &&
			!slices.Contains(g.voters(), member) {
			continue // a member sees the control state as a non-voter to its end
		}
		if g.Home == member || g.names(member) {
			groups = append(groups, g.ID)
		}
	}
	return groups
}

// names reports whether the member is wanted or seen in the group.
func (g *Group) names(member uint16) bool {
	return g.State != GroupRetired &&
		(slices.Contains(g.Voters, member) || slices.Contains(g.Nonvoters, member) ||
			slices.Contains(g.Observed.Voters, member) ||
			slices.Contains(g.Observed.Nonvoters, member))
}

// Settled reports whether the group lies as it should.
func (g *Group) Settled() bool {
	return g.Observed.sameMembers(Configuration{Voters: g.Voters, Nonvoters: g.Nonvoters})
}

// Unreported reports whether the group's leader is to report its raft configuration, because that
// changed or because the plan did: by the report it takes note of the plan. Until then Next makes
// no change.
func (g *Group) Unreported(c Configuration) bool {
	now := Configuration{Voters: union(c.Voters), Nonvoters: union(c.Nonvoters)}
	return g.Observed.Plan != g.Plan || !g.Observed.sameMembers(now)
}

// voters are the members that are voters, or are to be.
func (g *Group) voters() []uint16 { return slices.Concat(g.Voters, g.Observed.Voters) }

// legacy says what has become of the mail that a removed member had acknowledged. A removal is
// refused when a group would lose its majority by it, so that nothing was on that member's disk
// alone.
func (m *model) legacy(member uint16) string {
	if g := m.home(member); g != nil {
		return fmt.Sprintf(
			"the other nodes have its mail and deliver what is left of it (group %d)", g.ID)
	}
	return "its mail was delivered or handed over, nothing of it is on its disk alone"
}

// Admit says why a connection with a node that presents itself as this member is refused, or nil.
// The cluster's own certificate vouches for members that this node has not heard of yet: it may
// have been away while they joined, and one of them may lead.
//
// key is what it shows (wire.Credentials.PublicKey); "": that is not known, and not looked at.
func (s *State) Admit(member uint16, incarnation uint64, key string) error {
	m := s.view.Load()
	if member > m.counts.Members {
		return nil
	}
	switch c := m.member(member); {
	case c == nil:
		return errors.New("there is no member 0")
	case c.State == Removed && m.named(c.Name) != nil:
		return fmt.Errorf(
			"another data directory has joined as %s since (member %d), and this one (member %d) "+
				"is no member any more; %s; if the other is another machine, give one of the two "+
				"another name, empty its data directory and join again",
			c.Name, m.named(c.Name).ID, c.ID, m.legacy(c.ID))
	case c.State == Removed:
		return fmt.Errorf(
			"%s (member %d) was removed from the cluster; %s; to bring the machine back, empty "+
				"its data directory and join again", c.Name, c.ID, m.legacy(c.ID))
	case c.Incarnation != incarnation:
		return fmt.Errorf(
			"%s (member %d) has another disk than the one that joined, and has forgotten its "+
				"votes: empty its data directory, join under another name and run `postroad "+
				"cluster replace %s NEW`", c.Name, c.ID, c.Name)
	default:
		return c.keyMatches(key)
	}
}

// HeardOf reports whether this member's state knows a number. The others' may, which were not away
// while it was given.
func (s *State) HeardOf(member uint16) bool { return member <= s.view.Load().counts.Members }
