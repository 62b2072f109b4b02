package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// Raft grants its vote to whoever has the newer last term. That a candidate has all that was
// committed follows from that only as long as no disk forgets: a member that comes back with a past
// that the others have lost may have the higher term, and would be elected by those that then have
// to take back what they know to be committed. So a voter asks a candidate for its table of terms
// before raft sees the request, and refuses one whose log is another than the voter's at or below
// what the voter knows to be committed.

// checkedLog is what was found of a candidate's log: it does not differ from this member's up to an
// entry that this member knows to be committed.
type checkedLog struct {
	last  position // of the candidate's log
	known uint64
}

// comparison is a checkedLog, and what it takes to know that it still says all when the candidate
// leads.
type comparison struct {
	checkedLog
	has   position // where this member's log ended
	term  uint64   // in which the candidate asked for a vote with that log; 0: it did not yet
	table *Terms   // its; nil: its program has none
}

// pasts is what a voter has found of candidates' logs. Owned by transport.filterRPCs.
type pasts struct {
	found map[uint16]comparison // by member
	told  time.Time
}

// candidacy is a candidate's request, and what it says of its log.
type candidacy struct {
	rpc    raft.RPC
	member uint16
	term   uint64 // for which it is to have the vote; 0: it asks beforehand
	last   position
	known  uint64   // what this member knew to be committed when it asked
	has    position // where this member's log ended then
	table  *Terms   // what it answered
	err    error    // why it gets no vote
}

// candidacyOf reads a request for a vote; nil: it is another one, or one of a transfer, whose
// target the leader of this member has found to have all.
func candidacyOf(rpc raft.RPC) *candidacy {
	switch q := rpc.Command.(type) {
	case *raft.RequestPreVoteRequest:
		return &candidacy{
			rpc:    rpc,
			member: memberOf(raft.ServerID(q.Addr)),
			last:   position{q.LastLogTerm, q.LastLogIndex},
		}
	case *raft.RequestVoteRequest:
		if !q.LeadershipTransfer {
			return &candidacy{
				rpc:    rpc,
				member: memberOf(raft.ServerID(q.Addr)),
				term:   q.Term,
				last:   position{q.LastLogTerm, q.LastLogIndex},
			}
		}
	}
	return nil
}

// doubtful returns a request for a vote that raft would grant, and of whose log this member cannot
// say yet that it has all that was committed; nil: it needs no look.
func (g *Group) doubtful(rpc raft.RPC, p *pasts) *candidacy {
	c := candidacyOf(rpc)
	if c == nil || !g.running.Load() || !g.hearing.free() || c.last.before(g.position()) {
		return nil
	}
	c.known, c.has = g.knownCommitted(), g.position()
	found := p.found[c.member]
	if c.known == 0 {
		return nil
	}
	if found.checkedLog == (checkedLog{c.last, c.known}) {
		if c.term > 0 {
			found.term = c.term
			p.found[c.member] = found
		}
		return nil
	}
	return c
}

// comparedWith reports whether the leader of a term was compared with when it stood for it, and
// this member has just what it had then. A candidate's log does not change before it leads.
func (p *pasts) comparedWith(g *Group, leader speaker) bool {
	found := p.found[leader.member]
	if found.term != leader.term || found.known != g.knownCommitted() || found.has != g.position() {
		return false
	}
	if found.table != nil {
		theirs := *found.table
		theirs.Term, theirs.Leads = leader.term, true
		g.leaders.Store(&theirs) // before raft has what the leader sends
		g.done.Go(func() {
			if err := g.learnTerms(&theirs); err != nil {
				g.node.opts.Logf("%v", err) // another leader tells it again
			}
		})
	}
	return true
}

// check asks the candidate for its table, and hands on what came of it. A program that has none is
// believed.
func (g *Group) check(c *candidacy, done chan<- *candidacy) {
	ctx, cancel := context.WithTimeout(g.ctx, g.lease.timeout)
	defer cancel()
	theirs, err := g.AskTerms(ctx, c.member)
	switch {
	case err != nil:
		c.err = fmt.Errorf("ask the candidate what its log is: %w", err)
	case theirs == nil:
	default:
		c.table = theirs
		if e := g.lackedBy(theirs); e != nil {
			c.err = &otherPast{member: c.member, from: e.From, known: e.Known}
		}
	}
	select {
	case done <- c:
	case <-g.stop:
	}
}

// otherPast is why a candidate gets no vote: it lacks what this member knows to be committed.
type otherPast struct {
	member      uint16
	from, known uint64
}

func (e *otherPast) Error() string {
	return fmt.Sprintf(
		"member %d stands for election with other entries from %d on, and this node knows that "+
			"those up to %d were committed",
		e.member, e.from, e.known,
	)
}

// note keeps what was found, and tells of a past that is another one.
func (p *pasts) note(g *Group, c *candidacy) {
	var other *otherPast
	switch {
	case c.err == nil:
		if p.found == nil {
			p.found = map[uint16]comparison{}
		}
		p.found[c.member] = comparison{checkedLog{c.last, c.known}, c.has, c.term, c.table}
	case errors.As(c.err, &other) && time.Since(p.told) >= doubtTold:
		p.told = time.Now()
		g.node.opts.Logf(
			"group %d: %v: it gets no vote; some node's disk was rolled back or lost, and "+
				"member %d stops when it meets a leader of the others",
			g.id, other, c.member,
		)
	}
}
