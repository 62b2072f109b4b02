package control

import (
	"bytes"
	"context"
	"fmt"
	"slices"
)

// This file is what is particular about the groups of mailboxes: there is one for each shard, for
// ever, and none of them is for the mail of one member. Their Home is the member that founds them,
// and later the one of their voters that leads when it can, so that the work is spread.

// MaxShards is the most shards that a cluster can have. Each costs a raft group on as many members
// as there are replicas.
const MaxShards = 256

// MailboxProtocol is the first protocol that knows mailboxes.
const MailboxProtocol = 3

// Shards returns the group of each shard of the mailboxes; 0: it has none at the moment. Empty:
// there are no mailboxes yet. The number never changes again. The slice is read-only.
func (s *State) Shards() []uint64 { return s.view.Load().shards }

// MakeShards gives the cluster its mailboxes, in so many shards. Once it has them, whatever their
// number, it does nothing.
func (e *Editor) MakeShards(ctx context.Context, n int) error {
	if n < 1 || n > MaxShards {
		return fmt.Errorf("mailboxes are in 1 to %d shards, not %d", MaxShards, n)
	}
	if err := e.State.Needs(MailboxProtocol, "a mailbox"); err != nil {
		return err
	}
	return e.simple(ctx, cmdMakeShards, command{Shards: n})
}

// ShardsOf returns the number of shards of the cluster that a row of a backup is of; 0: it had
// none, or another row says so.
func ShardsOf(key, value []byte) int {
	var c counts
	if !bytes.Equal(key, keyCounts) || decodeRecord(value, &c) != nil {
		return 0
	}
	return c.Shards
}

func (d *draft) makeShards(c *command) Result {
	switch {
	case d.counts.Shards != 0:
		return Result{}
	case c.Shards < 1 || c.Shards > MaxShards:
		return refuse(Refused, "mailboxes are in 1 to %d shards, not %d", MaxShards, c.Shards)
	}
	d.counts.Shards, d.planned = c.Shards, true
	return Result{}
}

// newShard makes the group of a shard that has none.
func (d *draft) newShard(want *Group) (*Group, Result) {
	switch m := d.member(want.Home); {
	case want.Shard < 0 || want.Shard >= d.counts.Shards:
		return nil, refuse(Refused, "there is no shard %d", want.Shard)
	case d.shardGroup(want.Shard) != nil:
		return nil, refuse(Refused, "shard %d has a group already", want.Shard)
	case m == nil || m.State != Active:
		return nil, refuse(Refused, "member %d is not to found a group", want.Home)
	}
	g := d.newGroup(KindMailbox, want.Home)
	g.Shard = want.Shard
	return g, Result{}
}

// settleShard takes over who leads a group of mailboxes, or says why it makes no sense.
func (d *draft) settleShard(g, want *Group) Result {
	switch {
	case g.Kind != KindMailbox:
	case want.State == GroupDraining:
		return refuse(Refused, "group %d is to stay: it has mailboxes", g.ID)
	case !slices.Contains(want.Voters, want.Home) || g.State == GroupNew && want.Home != g.Home:
		return refuse(Refused, "member %d is not to lead group %d", want.Home, g.ID)
	default:
		d.edit(g.ID).Home = want.Home
	}
	return Result{}
}

// shardGroup returns the group of a shard, nil when it has none. There is at most one that is not
// retired.
func (m *model) shardGroup(shard int) *Group {
	for i := range m.groups {
		if g := &m.groups[i]; g.Kind == KindMailbox && g.Shard == shard && g.State != GroupRetired {
			return g
		}
	}
	return nil
}

// noteShards notes the group of each shard.
func (m *model) noteShards() {
	m.shards = nil
	if m.counts.Shards == 0 {
		return
	}
	m.shards = make([]uint64, m.counts.Shards)
	for i := range m.groups {
		if g := &m.groups[i]; g.Kind == KindMailbox && g.State != GroupRetired && g.Shard >= 0 &&
			g.Shard < len(m.shards) {
			m.shards[g.Shard] = g.ID
		}
	}
}

// found gives each shard that has no group one. Members that answer found before others, then those
// that lead the fewest.
func (p *planner) found() {
	has := map[int]bool{}
	for _, g := range p.groups {
		if g.Kind == KindMailbox && g.State != GroupRetired {
			has[g.Shard] = true
			p.leads[g.Home]++
		}
	}
	for shard := range p.m.counts.Shards {
		if has[shard] || len(p.active) == 0 {
			continue
		}
		g := Group{Kind: KindMailbox, Shard: shard, State: GroupNew}
		p.lead(&g, p.active)
		g.Voters = []uint16{g.Home}
		p.groups = append(p.groups, g)
	}
}

// stillborn reports whether a group of mailboxes waits for a founder that will not come, or not
// soon.
func (p *planner) stillborn(g *Group) bool {
	return p.m.member(g.Home).State != Active || p.silence(g.Home) > 0 &&
		slices.ContainsFunc(p.active, func(id uint16) bool { return p.silence(id) == 0 })
}

// rehome gives a group of mailboxes whose leader is no voter any more another.
func (p *planner) rehome(g *Group) {
	if g.Kind == KindMailbox && g.State != GroupNew && len(g.Voters) > 0 &&
		!slices.Contains(g.Voters, g.Home) {
		p.leads[g.Home]--
		p.lead(g, g.Voters)
	}
}

// lead chooses who is to lead; the load is what each leads.
func (p *planner) lead(g *Group, ids []uint16) {
	g.Home = slices.MinFunc(ids, p.order(g, p.leads))
	p.leads[g.Home]++
}

// balanceLeads moves one leadership to a voter that leads at least two fewer. Each move lowers the
// sum of the squares, so that it ends.
func (p *planner) balanceLeads(able []uint16) {
	for i := range p.groups {
		g := &p.groups[i]
		if g.Kind != KindMailbox || g.State != GroupServing || !slices.Contains(able, g.Home) {
			continue
		}
		for _, id := range g.Voters {
			if slices.Contains(able, id) && p.leads[g.Home]-p.leads[id] >= 2 {
				g.Home = id
				return
			}
		}
	}
}
