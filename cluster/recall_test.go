package cluster

import (
	"errors"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestRolledBackMemberIsTold: a member whose disk was put back hears from the leader what it had
// acknowledged, says so, and is in quarantine until it has that again.
func TestRolledBackMemberIsTold(t *testing.T) {
	t.Parallel()
	m, one := newThree(t)
	m.put(one, 0, 20)
	three := m.members[3]
	m.verify(three, 20)
	m.stop(three)
	old := vfs.NewMem()
	if _, err := vfs.Clone(three.fs, old, "/node", "/node"); err != nil {
		t.Fatal(err)
	}
	three = m.start(3)
	m.put(m.leader(), 20, 20)
	m.verify(three, 40)
	m.stop(three)
	three.fs = old
	said := make(chan string, 100)
	m.onLog = func(id uint16, line string) {
		if id == 3 && strings.Contains(line, "was its disk rolled back") {
			select {
			case said <- line:
			default:
			}
		}
	}
	three = m.start(3)
	t.Log(<-said)
	m.until("it has all again", func() bool { return len(three.g.Doubts()) == 0 })
	m.verify(three, 40)
}

// TestRemembered: who is behind what others remember neither votes nor stands; who is not is not in
// doubt.
func TestRemembered(t *testing.T) {
	t.Parallel()
	m, one := newThree(t)
	m.put(one, 0, 5)
	three := m.members[3]
	m.verify(three, 5)
	has := three.g.position()
	three.g.remembered(map[uint16]Standing{1: {AckedTerm: has.term, AckedIndex: has.index}, 2: {}})
	if d := three.g.Doubts(); len(d) > 0 {
		t.Errorf("it doubts %v", d)
	}
	three.g.remembered(map[uint16]Standing{1: {AckedTerm: has.term + 100, AckedIndex: has.index}})
	if err := three.g.mayCampaign(); !errors.Is(err, errQuarantine) {
		t.Errorf("it stands: %v", err)
	}
	if d := three.g.Doubts(); len(d) != 1 || d[0].Why != Behind {
		t.Errorf("it doubts %v", d)
	}
}
