package cluster

import (
	"bytes"
	"encoding/binary"

	"github.com/hashicorp/raft"
)

// A term has one leader, and two entries of one index and term are the same: all of raft rests on
// it. A disk that was rolled back breaks it, for it has forgotten in which terms it stood or voted.
// So a leader names its reign in what it sends: a number that its process drew. A member that has
// entries of a term of one reign, and is sent to by another of the same term, stops (takenback.go):
// raft would take those entries for the same.

const reignKey = "reign" // the newest reign that this member has entries of

// reign is a leader's process in a term.
type reign struct{ term, process uint64 }

func (r reign) encode() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, r.term), r.process)
}

func decodeReign(b []byte) (r reign, ok bool) {
	if len(b) != 16 {
		return r, false
	}
	return reign{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}, true
}

// reignMark is how a reign begins in AppendEntriesRequest.Leader, which raft itself reads only from
// programs far older than any that can be a member.
var reignMark = []byte("reign ")

// nameReign puts this process's reign into what it sends as the leader.
func (g *Group) nameReign(q *raft.AppendEntriesRequest) {
	q.Leader = append(bytes.Clone(reignMark), reign{q.Term, g.node.process}.encode()...)
}

// reignNamed reads whose reign a request is of; false: its sender names none.
func reignNamed(q *raft.AppendEntriesRequest) (reign, bool) {
	name, ok := bytes.CutPrefix(q.Leader, reignMark)
	r, whole := decodeReign(name)
	return r, ok && whole && r.term == q.Term
}

// obey notes whose reign a request is of, and stops this member when that cannot be.
func (g *Group) obey(q *raft.AppendEntriesRequest) {
	r, ok := reignNamed(q)
	if !ok || q.Term < g.currentTerm() {
		return // from a member that names none, or one that leads no more
	}
	v, err := g.log.Get([]byte(reignKey))
	if had, ok := decodeReign(v); err == nil && ok && had.term == r.term &&
		had.process != r.process {
		if from := g.firstOf(r.term); from > 0 {
			g.stopTakenBack(from)
		}
	}
	g.reign.Store(&r)
}

// firstOf is the first entry of a term in this member's log, 0 when it has none; the term is the
// newest.
func (g *Group) firstOf(term uint64) (from uint64) {
	first, err := g.log.FirstIndex()
	last, _ := g.log.LastIndex()
	for i := last; err == nil && i >= first && i > 0; i-- {
		var l raft.Log
		if g.log.GetLog(i, &l) != nil || l.Term != term {
			break
		}
		from = i
	}
	return from
}

// reignOf is the reign that brings entries of a term to this member; nil: it was not named.
func (g *Group) reignOf(term uint64) *reign {
	r := g.reign.Load()
	if r != nil && r.term == term {
		return r
	}
	if g.running.Load() && g.raft.State() == raft.Leader {
		return &reign{term, g.node.process}
	}
	// Of an older term, as when this member catches up, the leader that brings them has told.
	if t := g.leaders.Load(); t != nil && r != nil && t.Term == r.term {
		if s, ok := t.ofTerm(term); ok && s.Process != 0 {
			return &reign{term, s.Process}
		}
	}
	return nil
}
