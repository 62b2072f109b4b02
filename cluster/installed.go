package cluster

import (
	"io"

	"github.com/hashicorp/raft"
)

// A leader sends its snapshot again when the answer was late: the member was stopped for a while,
// or its machine was busy. Raft installs it again, and deletes the whole log behind it, with
// entries that it has said yes to and that the leader counts. A member that has the snapshot's last
// entry, in its log or as its marker, or has come beyond it, needs nothing of it. It says yes
// without raft, and the leader goes on with the entry after it.

// answerInstalled answers a snapshot that this member does not need; false: it is another request.
// It does not wait for what has still to be read of it.
func (g *Group) answerInstalled(rpc raft.RPC) bool {
	q, ok := rpc.Command.(*raft.InstallSnapshotRequest)
	if !ok || q.Term < g.currentTerm() || !g.hasEntry(q.LastLogIndex, q.LastLogTerm) {
		return false
	}
	go func() { // it ends with the connection
		_, err := io.Copy(io.Discard, rpc.Reader) // the next request follows
		rpc.Respond(&raft.InstallSnapshotResponse{
			RPCHeader: rpcHeader(g.serverID()),
			Term:      g.currentTerm(),
			Success:   err == nil,
		}, err)
	}()
	return true
}

// hasEntry reports whether this member has an entry of that term, in its log or as its marker, or
// had it: what is older than both the table of terms tells (terms.go).
func (g *Group) hasEntry(index, term uint64) bool {
	m, err := g.loadMarker()
	if err == nil && m != nil && m.index == index {
		return m.term == term
	}
	var l raft.Log
	if g.log.GetLog(index, &l) == nil {
		return l.Term == term
	}
	t := g.terms.Load()
	if err != nil || m == nil || m.index < index || t == nil {
		return false
	}
	s, _, ok := t.at(index)
	return ok && s.Term == term
}
