package cluster

import (
	"fmt"

	"github.com/hashicorp/raft"
)

// ForceSingle makes this member the only one of a group, whatever the others hold: what a majority
// that
// is gone for good may have acknowledged beyond this member's log is lost. It returns the last
// entry that this member has. The node's groups must not have been started. It is repeated without
// harm. hashicorp's RecoverCluster is no way: it writes a snapshot of a state that is not in
// snapshots, and deletes the log.
func (g *Group) ForceSingle() (last uint64, err error) {
	if g.running.Load() {
		return 0, fmt.Errorf("group %d is running", g.id)
	}
	m, err := g.loadMarker()
	if err != nil {
		return 0, err
	}
	if err := g.forgetDoubts(); err != nil {
		return 0, err
	}
	// The entry below is written past the table of terms, which begins anew after it: with the old
	// one this member would seem to have another past than those that join it.
	g.terms.Store(nil)
	if err := g.log.SetAll(map[string][]byte{termsKey: nil}); err != nil {
		return 0, err
	}
	last, term := g.log.Last()
	if m != nil && m.index > last {
		last, term = m.index, m.term
	}
	current, err := g.log.GetUint64([]byte("CurrentTerm"))
	if err != nil {
		return 0, err
	}
	term = max(term, current) + 1 // the others' votes of the terms until now count no more
	c := raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: g.serverID(),
		Address: raft.ServerAddress(g.serverID())}}}
	return last, g.log.Bootstrap([]byte("CurrentTerm"), term, &raft.Log{
		Index: last + 1, Term: term, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(c),
	})
}

// LastIndex is the last entry that this member has.
func (g *Group) LastIndex() uint64 { return g.position().index }

// GroupIDs are the groups of which this node has a log or a state, those that it has retired
// excepted.
func (n *Node) GroupIDs() (ids []uint64) {
	for _, id := range n.log.Groups() {
		if g := n.holderOf(id); id != nodeGroup && g != nil {
			if gone, err := g.retired(); err == nil && !gone {
				ids = append(ids, g.id)
			}
		}
	}
	return ids
}
