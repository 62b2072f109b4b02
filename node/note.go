package node

import (
	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/member"
	"github.com/postroad/postroad/internal/config"
)

// notesOf are the places of the note that a node is a member. file is its configuration's.
func notesOf(file string, cfg *config.Config) member.Notes {
	return member.Notes{
		Config: file, DataDir: cfg.Node.DataDir, Name: cfg.Node.Name, Listed: len(cfg.Cluster.Join) > 0,
	}
}

// newNoteKeeper makes what keeps the note up to date.
func (n *node) newNoteKeeper(group *cluster.Group) *member.NoteKeeper {
	return member.NewNoteKeeper(member.NoteKeeperOptions{
		Notes: notesOf(n.file, n.cfg), Self: n.self, State: n.control,
		Applied: group.AppliedIndex, Errorf: n.log.Errorf,
	})
}

// hadOthers reports whether this node has, or ever had, other members.
func (n *node) hadOthers() bool { return n.self.Member != 1 || n.store.HasPeers() }
