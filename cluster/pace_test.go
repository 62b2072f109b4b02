package cluster

import (
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// calmAll waits until each member that runs has long timeouts.
func (m *many) calmAll() {
	m.t.Helper()
	m.until("all members are calm", func() bool {
		for _, x := range m.members {
			if x.node != nil && !x.g.isCalm() {
				return false
			}
		}
		return true
	})
}

// TestCalm: raft's timeouts are long while all members are there, short on a leader whose frames
// one of them does not answer, and on a member that stands.
func TestCalm(t *testing.T) {
	t.Parallel()
	m, one := newThree(t)
	m.calmAll()
	m.stop(m.members[3])
	m.until("the leader is brisk", func() bool { return !one.g.isCalm() })
	m.start(3)
	m.calmAll()
	if m.leader() != one {
		t.Fatal("the leader has changed")
	}
	m.stop(one)
	m.until("another one leads, and is brisk", func() bool {
		for _, x := range m.members {
			if x.node != nil && x.g.Leading() != 0 && !x.g.isCalm() {
				return true
			}
		}
		return false
	})
}

// TestBriskWhileItWrites: a leader that has something to write has short timeouts, until it has
// written nothing for a while.
func TestBriskWhileItWrites(t *testing.T) {
	t.Parallel()
	m, one := newThree(t)
	m.calmAll()
	m.until("a write makes the leader brisk", func() bool {
		m.put(one, 0, 1)
		return !one.g.isCalm()
	})
	m.calmAll()
	var r rest
	for _, c := range []struct {
		last  uint64
		now   int64
		quiet bool
	}{{1, 10, false}, {1, 29, false}, {1, 30, true}, {2, 40, false}, {2, 60, true}} {
		if r.quiet(c.last, c.now, 20) != c.quiet {
			t.Errorf("entry %d at %d: quiet: %v", c.last, c.now, !c.quiet)
		}
	}
}

// TestFramesHaveRaftAsk: in a calm group raft hears of an answer of each of the others with the
// frames.
func TestFramesHaveRaftAsk(t *testing.T) {
	t.Parallel()
	m, one := newThree(t)
	m.calmAll()
	for _, other := range []uint16{2, 3} {
		asked := func() int64 { return one.node.beatsTo(other).Asked(HomeGroup) }
		for range 5 {
			last, nudged := asked(), one.g.telling.at.Load()
			m.until("raft asks", func() bool {
				return asked() > last && one.g.telling.at.Load() > nudged
			})
		}
	}
	if one.g.raft.State() != raft.Leader || !one.g.isCalm() {
		t.Error("the leader is not calm any more")
	}
}

// TestBriskForATransfer: timeouts are short where a transfer is under way, and stay so.
func TestBriskForATransfer(t *testing.T) {
	t.Parallel()
	m, one := newThree(t)
	m.calmAll()
	two := m.members[2].g
	two.handing.until.Store(monotonic() + int64(time.Hour))
	two.brisk()
	two.calm(calmFollower)
	if two.isCalm() {
		t.Error("it is calm, and may be told to stand")
	}
	two.handing.until.Store(0)
	one.g.handing.begin()
	one.g.brisk()
	one.g.calm(calmLeader)
	if one.g.isCalm() {
		t.Error("it is calm, and hands over")
	}
	one.g.handing.end()
	m.calmAll()
}
