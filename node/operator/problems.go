package operator

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/node/internal/peer"
	"github.com/postroad/postroad/operate/admin/api"
)

// This file tells operators of groups on the move: who is to get one, how far that is, and who is
// to lose one.

// movesOf compares where a group should lie with where it lies, as its leader says.
func movesOf(g control.Group, leader peer.Group, name func(uint16) string) (moves []api.Move) {
	for _, id := range g.Voters {
		if !slices.Contains(leader.Members.Voters, id) {
			moves = append(moves, arrival(id, leader, name(id)))
		}
	}
	for _, id := range leader.Members.Voters {
		if !slices.Contains(g.Voters, id) {
			moves = append(moves, api.Move{Node: name(id), Phase: api.MoveLeaves})
		}
	}
	return moves
}

// arrival is how far a member is that is to get a group.
func arrival(id uint16, leader peer.Group, name string) api.Move {
	m := api.Move{Node: name, Phase: api.MoveWaits}
	taken, takes := leader.Transfers[id]
	lag, answers := leader.Lag[id]
	switch {
	case takes:
		m.Phase, m.Octets, m.Of = api.MoveCopies, taken.Octets, taken.Of
	case answers && slices.Contains(leader.Members.Nonvoters, id):
		m.Phase, m.Behind = api.MoveCatchesUp, lag
	}
	return m
}

// trouble gathers groups in the same trouble, so that sixteen shards without a leader are one line.
type trouble struct {
	one, several, rest string
	shards             []int
}

// troubles gathers what is wrong with groups in the order in which it was found: lines of their own
// for groups that are no shards.
type troubles struct {
	lines  []string
	shards []trouble
}

// add notes trouble of a group: a verb about one, and about several, and the rest.
func (t *troubles) add(g *api.GroupStatus, one, several, rest string) {
	if g.Shard == nil {
		t.lines = append(t.lines, g.Title()+" "+one+rest)
		return
	}
	for i := range t.shards {
		if s := &t.shards[i]; s.one == one && s.rest == rest {
			s.shards = append(s.shards, *g.Shard)
			return
		}
	}
	t.shards = append(t.shards, trouble{one, several, rest, []int{*g.Shard}})
}

// leaderless notes that a group has no leader.
func (t *troubles) leaderless(g *api.GroupStatus) {
	t.add(g, "has", "have", " no leader: a majority of "+strings.Join(g.Voters, ", ")+
		" must answer")
}

// all returns the lines.
func (t *troubles) all() []string {
	lines := slices.Clone(t.lines)
	for _, s := range t.shards {
		verb := s.one
		if len(s.shards) > 1 {
			verb = s.several
		}
		lines = append(lines, "mailboxes, "+shardList(s.shards)+" "+verb+s.rest)
	}
	return lines
}

// shardList names shards, neighbours as a range.
func shardList(shards []int) string {
	slices.Sort(shards)
	var spans []string
	for i := 0; i < len(shards); {
		j := i
		for j+1 < len(shards) && shards[j+1] == shards[j]+1 {
			j++
		}
		span := strconv.Itoa(shards[i])
		if j > i {
			span += "-" + strconv.Itoa(shards[j])
		}
		spans = append(spans, span)
		i = j + 1
	}
	if len(shards) == 1 {
		return "shard " + spans[0]
	}
	return "shards " + strings.Join(spans, ", ")
}

// doubts are the groups in which members are in quarantine, by what they said of themselves.
func (op *Operator) doubts(reports map[uint16]*peer.Report) (lines []string) {
	for _, m := range op.o.State.Members() {
		r := reports[m.ID]
		if r == nil {
			continue
		}
		for _, g := range r.Groups {
			for _, d := range g.Doubts {
				lines = append(
					lines,
					fmt.Sprintf(
						"%s is in quarantine in group %d since %s: %s",
						m.Name,
						g.Group,
						d.Since.UTC().Format("2006-01-02T15:04:05Z"),
						&d,
					),
				)
			}
		}
	}
	return lines
}

// doubted reports whether a member is in quarantine in a group, as far as is known.
func doubted(reports map[uint16]*peer.Report, member uint16, group uint64) bool {
	r := reports[member]
	if r == nil {
		return false
	}
	for _, g := range r.Groups {
		if g.Group == group && len(g.Doubts) > 0 {
			return true
		}
	}
	return false
}

// Lacks names, by what the members last said of themselves, the groups that have no leader or
// survive no further loss, and in which members are in quarantine. hears reports whether this node
// hears from a group's leader: it has just been handed over then, and what was reported is older.
func (op *Operator) Lacks(
	reports map[uint16]*peer.Report, hears func(group uint64) bool,
) []string {
	var wrong troubles
	for _, g := range op.o.State.Groups() {
		s := op.group(g, reports)
		switch {
		case g.State == control.GroupNew:
		case s.Leader == "" && hears(g.ID):
		case s.Leader == "":
			wrong.leaderless(&s)
		case s.Survives <= 0:
			wrong.add(&s, "survives no further loss: its", "survive no further loss: their",
				" voters are "+strings.Join(s.Voters, ", "))
		}
	}
	return append(wrong.all(), op.doubts(reports)...)
}
