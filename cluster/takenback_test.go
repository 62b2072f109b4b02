package cluster

import (
	"errors"
	"net/http"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// whichTerm is in which term the two that forgot go on.
type whichTerm string

const (
	sameTerm    whichTerm = "same term"    // in which three had another leader
	laterTerm   whichTerm = "later term"   // than three was ever in
	earlierTerm whichTerm = "earlier term" // than that of the newest entries that three has
)

// diverged makes what one disk that was rolled back does to a group of three: two lags with 20 of
// 60 keys, one is put back to as many, and these two go on. three, which has all, was away; it is
// stopped.
func diverged(t *testing.T, which whichTerm, serves ...func(http.Handler) http.Handler) *many {
	t.Helper()
	m := newMany(t, 3)
	if len(serves) > 0 {
		m.serves = serves[0]
	}
	one := m.start(1)
	m.leader()
	m.start(2)
	m.start(3)
	m.grow(2, 3)
	m.put(one, 0, 20)
	for _, x := range m.members {
		m.verify(x, 20)
	}
	m.stop(m.members[2]) // it lags from here on
	m.stop(one)
	old := vfs.NewMem()
	if _, err := vfs.Clone(one.fs, old, "/node", "/node"); err != nil {
		t.Fatal(err)
	}
	one = m.start(1)
	before := m.leader().g.raft.CurrentTerm()
	for which == earlierTerm && m.leader().g.raft.CurrentTerm() < before+5 {
		m.stop(one)
		one = m.start(1)
	}
	m.put(m.leader(), 20, 40)
	m.verify(m.members[3], 60)
	m.members[3].g.keepKnown(m)
	term := m.leader().g.raft.CurrentTerm()
	m.stop(m.members[3])
	m.stop(one)
	one.fs = old
	one = m.start(1)
	two := m.start(2)
	// the terms that one had forgotten
	for which == laterTerm && m.leader().g.raft.CurrentTerm() <= term {
		m.stop(one)
		m.stop(two)
		one, two = m.start(1), m.start(2)
	}
	m.put(m.leader(), 100, 5)
	got := m.leader().g.raft.CurrentTerm()
	if is := map[whichTerm]bool{sameTerm: got == term, laterTerm: got > term,
		earlierTerm: got < term}; !is[which] {
		t.Fatalf("they are in term %d, three was in %d", got, term)
	}
	return m
}

// keepKnown waits until it is written down that all is committed.
func (g *Group) keepKnown(m *many) {
	m.until(
		"what is committed is noted",
		func() bool { return g.noted.Load() >= g.position().index },
	)
}

// TestTakenBack: the one that still has what the others gave up stops before it gives it up, too,
// keeps all of it, and stops again.
func TestTakenBack(t *testing.T) {
	t.Parallel()
	for _, which := range []whichTerm{laterTerm, sameTerm} {
		t.Run(string(which), func(t *testing.T) {
			t.Parallel()
			takenBack(t, diverged(t, which))
		})
	}
}

// TestForgottenPastIsNotElected: the one that still has what the others gave up stands for election
// before it has met their leader. Its log has the higher term, and those two have other entries
// that were committed: it gets no vote, they go on, and it stops.
func TestForgottenPastIsNotElected(t *testing.T) {
	t.Parallel()
	m := diverged(t, earlierTerm)
	m.stop(m.members[1])
	m.stop(m.members[2])
	takenBack(t, m)
}

func takenBack(t *testing.T, m *many) {
	three := m.members[3]
	failed := make(chan error, 1)
	m.onFailure = func(err error) {
		select {
		case failed <- err:
		default:
		}
	}
	m.start(3)
	for _, id := range []uint16{1, 2} {
		if m.members[id].node == nil {
			m.start(id)
		}
	}
	var why *TakenBack
	if err := <-failed; !errors.As(err, &why) {
		t.Fatalf("it stopped with %v", err)
	}
	t.Log(why)
	if why.Group != HomeGroup || why.From > why.Known || why.Last < why.Known {
		t.Errorf("it stopped with %+v", why)
	}
	_ = three.node.Close() // what it waits for never comes
	three.http.Close()
	three.port.Close()
	three.node = nil

	left := vfs.NewMem() // as the process left it
	if _, err := vfs.Clone(three.fs, left, "/node", "/node"); err != nil {
		t.Fatal(err)
	}
	n, err := Open(Options{Dir: "/node", FS: left, SegmentSize: inMemory})
	if err != nil {
		t.Fatal(err)
	}
	again, err := n.TakenBack()
	if err != nil || len(again) != 1 || again[0].Error() != why.Error() {
		t.Errorf("the next start says %v, %v; want %v", again, err, why)
	}
	if err := n.Group(HomeGroup).Join(&toy{}, nil); !errors.As(err, &why) {
		t.Errorf("it takes part again: %v", err)
	}
	if last := n.Group(HomeGroup).position().index; last != why.Last {
		t.Errorf("its log ends at %d, it ended at %d", last, why.Last)
	}
	g := n.Group(HomeGroup)
	leader := m.leader()
	theirs := leader.g.Terms()
	var applied toy
	if err := g.Unrolled(&applied); err != nil || g.AppliedIndex() != why.Last {
		t.Errorf("the state is as of %d: %v", g.AppliedIndex(), err)
	}
	ours := g.Terms()
	from := why.Parted(&ours, &theirs)
	kept := 0
	if err := n.Group(HomeGroup).Entries(from, func(uint64, []byte) bool {
		kept++
		return true
	}); err != nil ||
		kept != 40 ||
		from > why.From {
		t.Errorf(
			"%d commands are left, want 40, from %d on; it stopped at %d: %v\n%+v\n%+v",
			kept,
			from,
			why.From,
			err,
			ours,
			theirs,
		)
	}
	if err := g.GiveUp(from); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	three.fs = left
	m.onFailure = nil
	three = m.start(3)
	if d := three.g.Doubts(); len(d) == 0 && three.g.position().index == 0 {
		t.Error("it has nothing, and doubts nothing")
	}
	m.until("it has what the leader has", func() bool {
		return three.g.AppliedIndex() >= leader.g.AppliedIndex() && len(three.g.Doubts()) == 0
	})
	if more, err := three.node.TakenBack(); len(more) > 0 || err != nil {
		t.Errorf("it is stopped still: %v, %v", more, err)
	}
}
