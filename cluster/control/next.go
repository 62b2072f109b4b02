package control

import "slices"

// ChangeKind is a change of a raft configuration, or of its leader.
type ChangeKind uint8

const (
	AddNonvoter ChangeKind = iota + 1 // a member that is to learn, or to watch
	AddVoter                          // a non-voter becomes a voter
	Demote                            // a voter becomes a non-voter
	Remove                            // a voter or a non-voter goes
	Transfer                          // the leadership goes to Member; the configuration stays
)

func (k ChangeKind) String() string {
	switch k {
	case AddNonvoter:
		return "add non-voter"
	case AddVoter:
		return "add voter"
	case Demote:
		return "demote"
	case Remove:
		return "remove"
	case Transfer:
		return "transfer leadership"
	}
	return "no change"
}

// Change is one step towards what is desired.
type Change struct {
	Kind   ChangeKind
	Member uint16
}

// Next returns the one change that a group's leader should make now, given raft's configuration
// (not what was reported of it), the leader itself and what is desired; false when there is none,
// or none yet. CaughtUp reports whether a member, voter or not, answers and has nearly all entries;
// it is not asked about the leader.
//
// It waits until the leader has reported its configuration, and that it knows this plan: so the
// configuration in force is the one in the state or one step further to the plan in the state, and
// nobody is removed from the cluster on whom a group has come to depend unseen.
//
// Every step but a transfer brings the configuration nearer to what is desired, so that the steps
// come to an end whatever their order. No step leaves the group with fewer voters than it has or
// should have, nor without a majority of voters that are caught up.
func Next(
	c Configuration, leader uint16, g Group, caughtUp func(member uint16) bool,
) (Change, bool) {
	c.Voters, c.Nonvoters = union(c.Voters), union(c.Nonvoters)
	if g.State == GroupNew || g.State == GroupRetired || len(g.Voters) == 0 || g.Unreported(c) {
		return Change{}, false
	}
	s := step{c: c, leader: leader, g: g, caughtUp: caughtUp}
	order := []func() (Change, bool){s.promote, s.shed, s.learn, s.forget}
	if len(c.Voters) > len(g.Voters) {
		order[0], order[1] = s.shed, s.promote // the promotion of another may be what lets one go
	}
	for _, try := range order {
		if change, ok := try(); ok {
			return change, true
		}
	}
	return Change{}, false
}

type step struct {
	c        Configuration
	leader   uint16
	g        Group
	caughtUp func(uint16) bool
}

func (s *step) has(member uint16) bool { return member == s.leader || s.caughtUp(member) }

// promote makes a voter of a non-voter that is to be one and has caught up.
func (s *step) promote() (Change, bool) {
	for _, id := range minus(s.g.Voters, s.c.Voters) {
		if slices.Contains(s.c.Nonvoters, id) && s.caughtUp(id) {
			return Change{AddVoter, id}, true
		}
	}
	return Change{}, false
}

// shed lets a voter go that is not to be one: those that lag first, the leader last, and only after
// another leads.
func (s *step) shed() (Change, bool) {
	if len(s.c.Voters) <= len(s.g.Voters) {
		return Change{}, false // add before remove
	}
	surplus := minus(s.c.Voters, s.g.Voters)
	rank := func(id uint16) int {
		switch {
		case id == s.leader:
			return 2
		case s.caughtUp(id):
			return 1
		}
		return 0
	}
	slices.SortStableFunc(surplus, func(a, b uint16) int { return rank(a) - rank(b) })
	for _, id := range surplus {
		if !s.dispensable(id) {
			continue
		}
		if id == s.leader {
			return s.handOver()
		}
		if slices.Contains(s.g.Nonvoters, id) {
			return Change{Demote, id}, true
		}
		return Change{Remove, id}, true
	}
	return Change{}, false
}

// dispensable reports whether the voters that are left are a group: a majority of them is there.
func (s *step) dispensable(voter uint16) bool {
	left := without(s.c.Voters, voter)
	there := 0
	for _, id := range left {
		if s.has(id) {
			there++
		}
	}
	return there >= quorum(len(left))
}

// handOver gives the leadership to a voter that stays, the home before others.
func (s *step) handOver() (Change, bool) {
	stay := minus(s.g.Voters, minus(s.g.Voters, s.c.Voters))
	if slices.Contains(stay, s.g.Home) && s.caughtUp(s.g.Home) {
		return Change{Transfer, s.g.Home}, true
	}
	for _, id := range stay {
		if s.caughtUp(id) {
			return Change{Transfer, id}, true
		}
	}
	return Change{}, false
}

// learn adds a non-voter: one that is to become a voter, or one that is to stay what it is.
func (s *step) learn() (Change, bool) {
	for _, id := range slices.Concat(s.g.Voters, s.g.Nonvoters) {
		if !slices.Contains(s.c.Voters, id) && !slices.Contains(s.c.Nonvoters, id) {
			return Change{AddNonvoter, id}, true
		}
	}
	return Change{}, false
}

// forget removes a non-voter that is not to be there.
func (s *step) forget() (Change, bool) {
	for _, id := range minus(s.c.Nonvoters, union(s.g.Voters, s.g.Nonvoters)) {
		return Change{Remove, id}, true
	}
	return Change{}, false
}
