package kit

import (
	"fmt"
	"maps"
	"slices"

	"github.com/postroad/postroad/internal/testkit/faults"
)

// This file is about mailboxes whose shards move: nodes come, go and are replaced, and what is in
// the mailboxes stays.

// ShardsOf are the groups of mailboxes.
func ShardsOf(s *faults.Status) []faults.Group {
	return slices.DeleteFunc(slices.Clone(s.Groups), func(g faults.Group) bool {
		return g.Kind != "mailbox"
	})
}

// Uneven says what keeps the shards from being spread over the nodes as evenly as can be, voters
// and leaders alike; "" means that they are.
func Uneven(s *faults.Status, nodes []*faults.Node, shards int) string {
	groups := ShardsOf(s)
	if len(groups) != shards {
		return fmt.Sprintf("there are %d of %d shards", len(groups), shards)
	}
	voters, leads := map[string]int{}, map[string]int{}
	for _, g := range groups {
		if g.Leader == "" || g.Leader != g.Home || len(g.Voters) != min(3, len(nodes)) ||
			len(g.Moves) > 0 || g.State != "serving" {
			return fmt.Sprintf("shard %d is not at rest: %+v", *g.Shard, g)
		}
		leads[g.Leader]++
		for _, v := range g.Voters {
			voters[v]++
		}
	}
	for what, count := range map[string]map[string]int{"voters": voters, "leaders": leads} {
		if least, most := slices.Min(slices.Collect(maps.Values(count))),
			slices.Max(slices.Collect(maps.Values(count))); len(count) != len(nodes) ||
			most-least > 1 {
			return fmt.Sprintf("%s are %v", what, count)
		}
	}
	return ""
}
