package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/postroad/postroad/internal/clock"
)

// Raft takes two entries of one index and term for the same, and they need not be (reign.go). A
// member whose own past ended in a term that the leader's log has by another reign would say yes to
// what follows, and the leader would count that for entries which this member has otherwise. So a
// member takes nothing of a leader's log before it has compared its own with it: the first requests
// of a leader are held back meanwhile, beside raft's main loop. Votes, snapshots and heartbeats are
// taken as ever:
//
//   - An answer to a heartbeat renews the lease, which says that nobody else leads, and rests on
//     this member's promise to vote for nobody; that is true whatever its log is. It moves no
//     entry, commits none. Of its LastLog a member counts as caught up; but a change of members is
//     an entry, and before a transfer raft itself wants an answer to the leader's newest entry.
//   - A snapshot has only what the leader knows to be committed without this member, so a yes to it
//     commits nothing; and the state behind it was compared just before (Group.fetch). What this
//     member has beyond it is looked at with the first request that comes after it.
//
// Whom this member compared with as a candidate of that term is not asked once more. A leader that
// does not answer for some time is believed until it does: a member that cannot reach its leader,
// though that reaches it, would take part in nothing for good. What is left then is what there is
// without this file: a member with another past answers until it was compared, and stops.

const (
	meetPatience = 4                     // heartbeat timeouts for which a request is held at most
	meetAgain    = 50 * time.Millisecond // between two questions
	// requests; a leader has one on its way, and again after rpcTimeout
	meetHeld = 4
)

var errMeeting = errors.New("this member has not compared its log with the leader's yet")

// speaker is who sends as the leader of a term; process 0: its program does not name itself.
type speaker struct {
	reign
	member uint16
}

func speakerOf(q *raft.AppendEntriesRequest) speaker {
	r, ok := reignNamed(q)
	if !ok {
		r = reign{term: q.Term}
	}
	return speaker{r, memberOf(raft.ServerID(q.ID))}
}

// meeting is a comparison with a leader that is under way.
type meeting struct {
	with   speaker
	held   []raft.RPC
	cancel context.CancelFunc
	err    error // why it was not compared with in time
}

// meetings is what a member has found of the leaders that send to it. Owned by
// transport.filterRPCs.
type meetings struct {
	g       *Group
	met     speaker // it was compared with
	unheard speaker // it did not answer in time: what it sends is taken
	now     *meeting
	over    chan *meeting
	told    time.Time
}

// hold keeps a request back whose leader was not compared with. An error: it is refused, and comes
// again.
func (m *meetings) hold(rpc raft.RPC, p *pasts) (held bool, err error) {
	q, ok := rpc.Command.(*raft.AppendEntriesRequest)
	if !ok || isHeartbeat(q) || m.g.outlived(q.Term) {
		return false, nil
	}
	switch who := speakerOf(q); {
	case m.now != nil && m.now.with.term > who.term:
		return false, errMeeting // what is being compared is to stay as it is
	case m.met == who:
		return false, nil
	case m.now != nil && m.now.with == who:
	case m.now != nil && m.now.with.term == who.term:
		return false, errMeeting // two leaders of one term: the first one's turn
	case p.comparedWith(m.g, who):
		m.drop()
		m.met = who
		return false, nil
	default:
		m.begin(who)
	}
	switch {
	case m.now.with == m.unheard:
		return false, nil
	case len(m.now.held) == meetHeld:
		return false, errMeeting
	}
	m.now.held = append(m.now.held, rpc)
	return true, nil
}

// drop ends what is under way with a leader of an earlier term, and refuses what is held of it.
func (m *meetings) drop() {
	if m.now == nil {
		return
	}
	m.now.cancel()
	for _, rpc := range m.now.held {
		rpc.Respond(nil, errMeeting)
	}
	m.now = nil
}

// begin has a leader compared with.
func (m *meetings) begin(who speaker) {
	m.drop()
	ctx, cancel := context.WithTimeout(m.g.ctx, meetPatience*m.g.lease.timeout)
	now := &meeting{with: who, cancel: cancel}
	m.now = now
	m.g.done.Go(func() {
		now.err = m.g.meet(ctx, who)
		select {
		case m.over <- now:
		case <-m.g.stop:
		}
	})
}

// end returns the requests that were held for a meeting that is over: raft may have them.
func (m *meetings) end(now *meeting) []raft.RPC {
	now.cancel()
	if now != m.now {
		return nil // a later leader came meanwhile
	}
	m.now = nil
	if now.err == nil {
		m.met = now.with
		return now.held
	}
	m.unheard = now.with
	if time.Since(m.told) >= doubtTold {
		m.told = time.Now()
		m.g.node.opts.Logf(
			"group %d: member %d leads it, and does not say what its log is: %v; this node "+
				"takes its entries unseen, and goes on asking",
			m.g.id, now.with.member, now.err,
		)
	}
	return now.held
}

// meet compares with a leader, and asks it again until ctx ends. It stops this member when that has
// something else.
func (g *Group) meet(ctx context.Context, who speaker) error {
	for {
		err := g.meetOnce(ctx, who)
		if err == nil || g.outlived(who.term) {
			return nil // if only because raft refuses it
		}
		if !clock.Pause(ctx, meetAgain) {
			return err
		}
	}
}

func (g *Group) meetOnce(ctx context.Context, who speaker) error {
	ctx, cancel := context.WithTimeout(ctx, g.lease.timeout)
	defer cancel()
	theirs, err := g.compare(ctx, who.member)
	if err == nil && theirs != nil && theirs.Term != who.term {
		err = fmt.Errorf("member %d leads in term %d now", who.member, theirs.Term)
	}
	return err
}

// outlived reports whether raft has seen a later term, and refuses who leads in that one.
func (g *Group) outlived(term uint64) bool {
	return g.running.Load() && term < g.raft.CurrentTerm()
}
