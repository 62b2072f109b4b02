package cluster

import (
	"errors"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/postroad/postroad/cluster/logstore"
)

// doubtTail has a member doubt the end of its log, as after a start that found it damaged.
func (x *member) doubtTail(t *testing.T) {
	t.Helper()
	if err := x.g.Doubt(Doubt{Why: DamagedTail, FloorTerm: x.g.raft.CurrentTerm() + 1,
		Hear: true}); err != nil {
		t.Fatal(err)
	}
}

// TestQuarantineEndsWhenOthersAreHeard: a member that doubts its tail asks the others, catches up
// with them, and votes again.
func TestQuarantineEndsWhenOthersAreHeard(t *testing.T) {
	t.Parallel()
	m, one := newThree(t)
	m.put(one, 0, 20)
	three := m.members[3]
	m.isolate(3, true)
	three.doubtTail(t)
	m.put(one, 20, 20)
	d := three.g.Status().Doubts
	if len(d) != 1 || !strings.Contains(d[0].String(), "asks the others") {
		t.Fatalf("it doubts %v", d)
	}
	m.isolate(3, false)
	m.until("it doubts no more", func() bool { return len(three.g.Doubts()) == 0 })
	if three.g.position().index < 40 {
		t.Errorf("it votes with %+v", three.g.position())
	}
}

// TestQuarantineOutlastsRestarts: two members cannot elect anybody while one of them doubts and the
// third is away, whatever is restarted; with the third they can.
func TestQuarantineOutlastsRestarts(t *testing.T) {
	t.Parallel()
	m, one := newThree(t)
	m.put(one, 0, 20)
	two, three := m.members[2], m.members[3]
	m.verify(three, 20)
	m.isolate(3, true)
	three.doubtTail(t)
	m.stop(one)
	m.stop(three)
	m.isolate(3, false)
	three = m.start(3)
	m.until("it has heard of one and misses the other", func() bool {
		d := three.g.Doubts()
		return len(d) == 1 && len(d[0].Unheard) == 1 && d[0].Unheard[0] == 1
	})
	last := two.g.position()
	vote := raft.RequestVoteRequest{Term: 100, LastLogIndex: last.index, LastLogTerm: last.term}
	if err := three.g.mayAsk(&vote); !errors.Is(err, errQuarantine) {
		t.Errorf("it votes: %v", err)
	}
	vote.LastLogTerm = three.g.raft.CurrentTerm() + 1
	if err := three.g.mayAsk(&vote); err != nil {
		t.Errorf("it refuses who was led without it: %v", err)
	}
	if err := three.g.mayCampaign(); !errors.Is(err, errQuarantine) {
		t.Errorf("it stands: %v", err)
	}
	m.start(1)
	m.until("it doubts no more", func() bool { return len(three.g.Doubts()) == 0 })
	m.put(m.leader(), 20, 10)
	m.verify(three, 30)
}

// TestQuarantineAlone: who has nobody to ask does not start, until the operator has taken what is
// there for all.
func TestQuarantineAlone(t *testing.T) {
	t.Parallel()
	m := newMany(t, 1)
	one := m.start(1)
	m.put(m.leader(), 0, 5)
	one.doubtTail(t)
	m.stop(one)
	open := func() *Node {
		t.Helper()
		n, err := Open(Options{Dir: "/node", FS: one.fs, SegmentSize: inMemory})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	n := open()
	if err := n.Group(HomeGroup).Start(&toy{}, nil); !errors.Is(err, logstore.ErrLost) {
		t.Errorf("it starts: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = open()
	if _, err := n.Group(HomeGroup).ForceSingle(); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	one = m.start(1)
	m.put(m.leader(), 5, 5)
	m.verify(one, 10)
}

// TestJudge: who suffices to know all that a member of term 7 has helped to commit.
func TestJudge(t *testing.T) {
	at := func(term, index uint64) Standing { return Standing{LastTerm: term, LastIndex: index} }
	led := func(s Standing, term uint64) Standing { s.Led = term; return s }
	doubting, leads := at(7, 90), at(7, 50)
	doubting.InDoubt, leads.Leads = true, true
	for what, c := range map[string]struct {
		answers map[uint16]Standing
		most    position
		enough  bool // for a damaged tail
		strict  bool // for who forgot more
	}{
		"nobody": {nil, position{}, false, false},
		"one of two": {map[uint16]Standing{2: at(7, 50)}, position{7, 50}, false,
			false},
		"both": {map[uint16]Standing{2: at(7, 50), 3: at(6, 80)},
			position{7, 50}, true, true},
		"the leader of the term": {map[uint16]Standing{2: led(at(7, 50), 7)}, position{7, 50},
			true, false},
		"the leader of an older term": {map[uint16]Standing{2: led(at(7, 50), 6)}, position{7, 50},
			false, false},
		"who leads now": {map[uint16]Standing{2: leads}, position{7, 50}, true,
			true},
		"one and one that itself asks": {map[uint16]Standing{2: at(7, 50), 3: doubting},
			position{7, 50}, false, false},
	} {
		h := judge([]uint16{2, 3}, c.answers, 7)
		if h.most != c.most || h.enough(DamagedTail) != c.enough || h.enough(Behind) != c.strict {
			t.Errorf("%s: %+v", what, h)
		}
	}
}

// TestDoubtInWords: operators read what it is and what ends it; numbers of the log come last.
func TestDoubtInWords(t *testing.T) {
	d := Doubt{Why: Behind, FloorTerm: 4}
	want := "it neither votes nor stands for election: " + whyWords[Behind] +
		"; it gets that from the others, and takes part again once it has all (entry 0, term 4)"
	if got := d.String(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
