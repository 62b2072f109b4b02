package cluster

import (
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// TestQuiet: a group with nothing new says nothing but its heartbeats; what comes then is sent at
// once, and a member that was started again hears what is committed.
func TestQuiet(t *testing.T) {
	t.Parallel()
	m, one := newThree(t)
	m.put(one, 0, 20)
	settled := func(id raft.ServerID) func() bool {
		return func() bool {
			one.g.quiet.mu.Lock()
			defer one.g.quiet.mu.Unlock()
			told, ok := one.g.quiet.told[id]
			return ok && told.link != 0 && told.saying.commit == one.g.raft.LastIndex()
		}
	}
	for _, id := range []raft.ServerID{"2", "3"} {
		m.until("there is nothing new", settled(id))
	}
	m.until("raft's calls wait", func() bool { return one.g.quiet.waiting.Load() == 2 })
	m.put(one, 20, 20)
	for _, x := range m.members {
		m.verify(x, 40)
	}
	two := m.members[2]
	m.until("there is nothing new", settled("2"))
	m.stop(two)
	two = m.start(2)
	m.verify(two, 40)
	m.until(
		"it has heard what is committed",
		func() bool { return two.g.raft.CommitIndex() == one.g.raft.LastIndex() },
	)
}

// TestQuietHearsOfEachChange: a call that waits goes on when the log or what is committed grows,
// and so does one that looks just before.
func TestQuietHearsOfEachChange(t *testing.T) {
	var q quiet
	q.stir() // nobody waits
	q.waiting.Add(1)
	heard := q.listen()
	q.stir()
	select {
	case <-heard:
	case <-time.After(time.Minute):
		t.Fatal("it is not heard")
	}
	if q.listen() == heard {
		t.Error("the next change is taken for the last one")
	}
	for _, index := range []uint64{7, 7, 8} {
		old := q.commit.Load()
		heard = q.listen()
		q.committed(index)
		if q.listen() == heard != (index == old) {
			t.Errorf("%d is committed after %d: waiting goes on: %v", index, old,
				q.listen() == heard)
		}
	}
}

// TestQuietForgets: only the same words, over the same connection, are not repeated.
func TestQuietForgets(t *testing.T) {
	var q quiet
	idle := &raft.AppendEntriesRequest{
		Term:              3,
		PrevLogEntry:      9,
		PrevLogTerm:       2,
		LeaderCommitIndex: 9,
	}
	q.note("2", idle, 5, &raft.AppendEntriesResponse{Term: 3, LastLog: 9, Success: true})
	if a, ok := q.last("2", idle, 5); !ok || a.LastLog != 9 {
		t.Fatalf("it is not known: %v %v", a, ok)
	}
	for what, ask := range map[string]*raft.AppendEntriesRequest{
		"term":   {Term: 4, PrevLogEntry: 9, PrevLogTerm: 2, LeaderCommitIndex: 9},
		"end":    {Term: 3, PrevLogEntry: 8, PrevLogTerm: 2, LeaderCommitIndex: 9},
		"commit": {Term: 3, PrevLogEntry: 9, PrevLogTerm: 2, LeaderCommitIndex: 8},
	} {
		if _, ok := q.last("2", ask, 5); ok {
			t.Errorf("another %s counts as the same", what)
		}
	}
	if _, ok := q.last("2", idle, 7); ok {
		t.Error("another connection counts as the same")
	}
	if _, ok := q.last("3", idle, 5); ok {
		t.Error("another member counts as the same")
	}
	q.note("2", idle, 0, &raft.AppendEntriesResponse{})
	if _, ok := q.last("2", idle, 0); ok {
		t.Error("what was said without a connection counts")
	}
	q.note("2", idle, 5, &raft.AppendEntriesResponse{})
	q.note(
		"2",
		&raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 9, Entries: []*raft.Log{{}}},
		5,
		&raft.AppendEntriesResponse{},
	)
	if _, ok := q.last("2", idle, 5); ok {
		t.Error("after more entries the old words are not repeated")
	}
}
