package node

import (
	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/member"
)

// newNoteKeeper makes what keeps the note up to date.
func (n *node) newNoteKeeper(group *cluster.Group) *member.NoteKeeper {
	return member.NewNoteKeeper(member.NoteKeeperOptions{
		Notes: member.NotesOf(n.file, n.cfg()), Self: n.self, State: n.control,
		Applied: group.AppliedIndex, Errorf: n.log.Errorf,
	})
}

// hadOthers reports whether this node has, or ever had, other members.
func (n *node) hadOthers() bool { return n.self.Member != 1 || n.store.HasPeers() }
