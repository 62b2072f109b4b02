package api

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Why a group is missing.
const (
	NoOwner      = "no node that answers owns it"
	OwnerChanged = "its owner has changed meanwhile"
)

// reads are the verbs that change nothing.
var reads = []string{"list", "count", "show"}

// AddGroup adds what a group did. Two answers for one group come of two owners, one after the
// other: what both moved counts, but of what both counted only the newer; and a list of both is a
// list of no one moment.
func (t *Total) AddGroup(verb string, g GroupTotal) {
	i := slices.IndexFunc(t.Groups, func(have GroupTotal) bool { return have.Group == g.Group })
	if i < 0 {
		g.States = maps.Clone(g.States) // add changes it
		t.Groups = append(t.Groups, g)
		return
	}
	have := &t.Groups[i]
	switch {
	case verb == "list":
		have.Partial = true
		t.Missing = append(t.Missing, Missing{Group: g.Group, Node: g.Node, Why: OwnerChanged})
	case !slices.Contains(reads, verb):
		have.add(&g)
	case have.Partial && !g.Partial, have.Partial == g.Partial && have.Index < g.Index:
		*have = g
	}
}

func (g *GroupTotal) add(o *GroupTotal) {
	if g.Partial || o.Index > g.Index {
		g.Node = o.Node
	}
	g.Index, g.Partial = max(g.Index, o.Index), g.Partial && o.Partial
	g.Messages, g.Recipients = g.Messages+o.Messages, g.Recipients+o.Recipients
	if g.States == nil {
		g.States = map[string]int64{}
	}
	for state, n := range o.States {
		g.States[state] += n
	}
}

// Sum adds the groups up.
func (t *Total) Sum() {
	slices.SortFunc(t.Groups, func(a, b GroupTotal) int { return cmp.Compare(a.Group, b.Group) })
	t.Index, t.Messages, t.Recipients, t.States = 0, 0, 0,
		map[string]int64{"ready": 0, "inflight": 0, "deferred": 0, "held": 0}
	for _, g := range t.Groups {
		t.Messages, t.Recipients = t.Messages+g.Messages, t.Recipients+g.Recipients
		for state, n := range g.States {
			t.States[state] += n
		}
	}
	if len(t.Groups) == 1 {
		t.Index = t.Groups[0].Index
	}
}

// Settle sorts out what is missing. roll says whether every group was on the list of the missing:
// then a node that does not answer matters only if some group does not either.
func (t *Total) Settle(roll bool) {
	complete := map[uint64]bool{}
	for _, g := range t.Groups {
		complete[g.Group] = !g.Partial
	}
	t.Missing = missing(t.Missing, complete)
	if roll && !slices.ContainsFunc(t.Missing, func(m Missing) bool { return m.Group != 0 }) {
		for _, m := range t.Missing {
			t.Unreachable = append(t.Unreachable, m.Node)
		}
		t.Missing = nil
	}
}

// missing leaves of a list what is not complete, each group and node once: with its home from the
// roll, and the reason of who tried.
func missing(all []Missing, complete map[uint64]bool) (left []Missing) {
	for _, m := range all {
		if m.Group != 0 && complete[m.Group] {
			continue
		}
		i := slices.IndexFunc(left, func(have Missing) bool {
			return have.Group == m.Group && (m.Group != 0 || have.Node == m.Node)
		})
		if i < 0 {
			left = append(left, m)
			continue
		}
		have := &left[i]
		have.Home, have.Node = cmp.Or(have.Home, m.Home), cmp.Or(have.Node, m.Node)
		if have.Why == NoOwner {
			have.Why = m.Why
		}
	}
	slices.SortStableFunc(left, func(a, b Missing) int { return cmp.Compare(a.Group, b.Group) })
	return left
}

// MissingGroups are the groups that have not answered.
func (t *Total) MissingGroups() (groups []uint64) {
	for _, m := range t.Missing {
		if m.Group != 0 {
			groups = append(groups, m.Group)
		}
	}
	return groups
}

// Incomplete is the error that names what is missing, or nil.
func (t *Total) Incomplete() error {
	if t == nil || len(t.Missing) == 0 {
		return nil
	}
	var names []string
	for _, m := range t.Missing {
		names = append(names, m.String())
	}
	return Fail(ExitTemporary, "not everything answered: "+strings.Join(names, "; "),
		"what they hold is not known; `postroad cluster status` shows what is wrong; "+
			"then try again")
}

// String names what is missing, and why.
func (m *Missing) String() string {
	name := m.Node
	if m.Group != 0 {
		name = fmt.Sprintf("group %d", m.Group)
		if m.Home != "" {
			name += " (the home of " + m.Home + ")"
		}
	}
	return name + ": " + m.Why
}

// Merge adds the total of a request about other messages to t.
func (t *Total) Merge(o *Total) {
	for _, g := range o.Groups {
		t.AddGroup("merge", g)
	}
	t.Sum()
	t.Miss(o.Missing...)
	for _, node := range o.Unreachable {
		if !slices.Contains(t.Unreachable, node) {
			t.Unreachable = append(t.Unreachable, node)
		}
	}
}

// Miss adds what is missing, once.
func (t *Total) Miss(all ...Missing) {
	for _, m := range all {
		if !slices.Contains(t.Missing, m) {
			t.Missing = append(t.Missing, m)
		}
	}
}
