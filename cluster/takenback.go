package cluster

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/postroad/postroad/cluster/logstore"
)

// Raft lets a leader cut off the end of a member's log, for what it cuts off was never committed.
// That holds as long as no disk forgets. When one was rolled back while a second member lagged,
// these two elect a leader without the entries that only the third still has; when that comes back,
// it would give them up without a word. So a member remembers up to where it knows its log to be
// committed, and stops for good before anything of that is taken back, or replaced by another
// member's state. Nothing is deleted; every start stops in the same way until the operator has
// acted.

// TakenBack is why a member has stopped: its group's leader lacks entries that this member knows to
// be committed.
type TakenBack struct {
	Group uint64
	From  uint64 // the first entry that the leader has otherwise, or may have
	Last  uint64 // of this member's log
	Known uint64 // the newest entry that this member knows to be committed
	Term  uint64 // of that leader
	Since time.Time
}

func (e *TakenBack) Error() string {
	return fmt.Sprintf(
		"group %d: its leader (term %d, %s) lacks entries %d to %d, and this node knows that "+
			"those up to %d were committed: other nodes' disks were rolled back or lost, or "+
			"this node's own was put back to an older state and went on alone; "+
			"nothing was deleted here, and this node does not go on",
		e.Group,
		e.Term,
		e.Since.UTC().Format(time.RFC3339),
		e.From,
		e.Last,
		e.Known,
	)
}

const (
	takenBackKey = "takenback" // a TakenBack, as JSON
	// the newest entry known to be committed when an entry was stored last, or a little later
	knownKey = "known"
)

// keptLog is the log as raft sees it.
type keptLog struct {
	*logstore.Group
	g *Group
}

// StoreLogs implements raft.LogStore. What is known to be committed by now is written in the same
// step, and whose reign the entries are of.
func (l keptLog) StoreLogs(logs []*raft.Log) error {
	defer l.g.quiet.stir() // there is something to send
	l.g.tabling.Lock()
	defer l.g.tabling.Unlock()
	known, news := l.g.knownCommitted(), map[string][]byte(nil)
	note := func(key string, value []byte) {
		if news == nil {
			news = map[string][]byte{}
		}
		news[key] = value
	}
	if known > l.g.noted.Load() {
		note(knownKey, binary.BigEndian.AppendUint64(nil, known))
	}
	if r := l.g.reignOf(logs[len(logs)-1].Term); r != nil && *r != l.g.reigned {
		note(reignKey, r.encode())
		l.g.reigned = *r
	}
	if t := l.g.terms.Load().with(logs, l.g.reignOf); t != nil {
		b, err := json.Marshal(t)
		if err != nil {
			return err
		}
		note(termsKey, b)
		l.g.terms.Store(t)
	}
	if news == nil {
		return l.Group.StoreLogs(logs)
	}
	err := l.StoreLogsWith(news, logs)
	if err == nil {
		l.g.noted.Store(max(known, l.g.noted.Load()))
	}
	return err
}

// StoreLog implements raft.LogStore.
func (l keptLog) StoreLog(log *raft.Log) error { return l.StoreLogs([]*raft.Log{log}) }

// DeleteRange implements raft.LogStore: of a suffix nothing goes that is known to be committed.
func (l keptLog) DeleteRange(min, max uint64) error {
	if from, cut := l.Cuts(min, max); cut && from <= l.g.knownCommitted() {
		l.g.stopTakenBack(from)
	}
	return l.Group.DeleteRange(min, max)
}

// knownCommitted is the newest entry that this member knows to be committed, of those that it has.
func (g *Group) knownCommitted() uint64 {
	known := max(g.noted.Load(), g.AppliedIndex())
	if g.running.Load() {
		known = max(known, g.raft.CommitIndex())
	}
	return known
}

// loadKnown reads what was known before the last stop. The group does not run yet.
func (g *Group) loadKnown() error {
	v, err := g.log.Get([]byte(knownKey))
	g.noted.Store(0)
	if err == nil && len(v) == 8 {
		g.noted.Store(binary.BigEndian.Uint64(v))
	}
	return err
}

// noteKnown writes down what is known to be committed. A group that is busy does so with its
// entries.
func (g *Group) noteKnown() error {
	known := g.knownCommitted()
	if known <= g.noted.Load() {
		return nil
	}
	if err := g.log.Set([]byte(knownKey), binary.BigEndian.AppendUint64(nil, known)); err != nil {
		return err
	}
	g.noted.Store(known)
	return nil
}

// overtakes reports whether another member's state would replace what this one knows to be
// committed by something older. A state whose last entry this member has was answered before.
func (g *Group) overtakes(q *raft.InstallSnapshotRequest) bool {
	return q.Term >= g.currentTerm() && q.LastLogIndex <= g.knownCommitted()
}

// firstHere is the first entry that this member's log has: what is older is in its state only.
func (g *Group) firstHere() uint64 {
	first, _ := g.log.FirstIndex()
	return max(first, 1)
}

func (g *Group) currentTerm() uint64 {
	term, _ := g.log.GetUint64([]byte("CurrentTerm")) // it is in memory
	return term
}

// stopTakenBack notes why this member stops, in this group and in all others in which it can find
// out, and does not return.
func (g *Group) stopTakenBack(from uint64) {
	if !g.stopped.CompareAndSwap(false, true) {
		select {} // it is being noted
	}
	e := g.takenBackFrom(from, g.currentTerm())
	g.noteStop(e)
	g.node.lookAround(g)
	g.node.fatal(e)
}

// takenBackFrom says that a leader of a term has other entries than this member from one on.
func (g *Group) takenBackFrom(from, term uint64) *TakenBack {
	return &TakenBack{
		Group: g.id,
		From:  from,
		Last:  g.position().index,
		Known: g.knownCommitted(),
		Term:  term,
		Since: time.Now(),
	}
}

// NoteTakenBack has every start stop for it from now on.
func (g *Group) NoteTakenBack(e *TakenBack) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return g.log.Set([]byte(takenBackKey), b)
}

// noteStop does so for a member that stops in any case.
func (g *Group) noteStop(e *TakenBack) {
	if err := g.NoteTakenBack(e); err != nil {
		g.node.opts.Logf("%v; this could not be noted: %v", e, err)
	}
}

// lookAround looks for a while whether the leaders of the other groups lack something, too: a disk
// that was rolled back forgets in all of its groups.
func (n *Node) lookAround(but *Group) {
	var all sync.WaitGroup
	for _, g := range n.started() {
		if g == but {
			continue
		}
		all.Go(func() {
			if e := g.lackedByLeader(); e != nil && g.stopped.CompareAndSwap(false, true) {
				g.noteStop(e)
			}
		})
	}
	all.Wait()
}

// lackedByLeader asks the other members once. nil: their leader lacks nothing, or there is none.
func (g *Group) lackedByLeader() *TakenBack {
	ctx, cancel := context.WithTimeout(g.ctx, inquireTimeout)
	defer cancel()
	theirs, _ := g.LeadersTerms(ctx, g.otherVoters())
	if theirs == nil || theirs.Term < g.currentTerm() {
		return nil
	}
	return g.lackedBy(theirs)
}

// lackedBy says what a leader lacks of which this member knows that it was committed, or what it
// has otherwise and raft would not replace; or nil.
func (g *Group) lackedBy(leader *Terms) *TakenBack {
	ours := g.Terms()
	from := ours.diverges(leader)
	if from > g.knownCommitted() {
		from = ours.forks(leader)
	}
	if from == 0 {
		return nil
	}
	return g.takenBackFrom(from, leader.Term)
}

// LackedBy is the same for a group that does not run, as in an offline salvage.
func (g *Group) LackedBy(leader *Terms) (*TakenBack, error) {
	if err := errors.Join(g.loadTerms(), g.loadKnown()); err != nil {
		return nil, err
	}
	return g.lackedBy(leader), nil
}

// TakenBack returns why this member has stopped in the group, or nil.
func (g *Group) TakenBack() (*TakenBack, error) {
	v, err := g.log.Get([]byte(takenBackKey))
	if err != nil || len(v) == 0 {
		return nil, err
	}
	e := new(TakenBack)
	if err := json.Unmarshal(v, e); err != nil {
		return nil, fmt.Errorf("why group %d was stopped: %w", g.id, err)
	}
	return e, nil
}

// Entries calls fn with the commands of this member's log from an entry on, committed or not, until
// it returns false.
func (g *Group) Entries(from uint64, fn func(index uint64, data []byte) bool) error {
	first, _ := g.log.FirstIndex()
	last, err := g.log.LastIndex()
	for i := max(from, first); err == nil && first > 0 && i <= last; i++ {
		var l raft.Log
		if err = g.log.GetLog(i, &l); err == nil && l.Type == raft.LogCommand && !fn(i, l.Data) {
			return nil
		}
	}
	return err
}

// TakenBack returns why this node has stopped in some of its groups: it must not start before the
// operator has acted.
func (n *Node) TakenBack() (all []*TakenBack, err error) {
	for _, id := range n.GroupIDs() {
		e, err := n.Group(id).TakenBack()
		if err != nil {
			return nil, err
		}
		if e != nil {
			all = append(all, e)
		}
	}
	return all, nil
}
