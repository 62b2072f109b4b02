package operator

import (
	"errors"
	"strings"
	"testing"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/node/internal/peer"
	"github.com/postroad/postroad/operate/admin/api"
)

// TestDrainTellsWhatIsKnown: what is left in a home group only its leader knows; of two that claim
// it, the one of the newer term.
func TestDrainTellsWhatIsKnown(t *testing.T) {
	m := control.Member{ID: 3, Name: "mx3"}
	leads := func(term, messages, handed uint64) *peer.Report {
		return &peer.Report{Groups: []peer.Group{{
			Status:   cluster.Status{Group: 5, Leading: true, Leader: 3, Term: term},
			Messages: messages, Handed: handed,
		}}}
	}
	for _, c := range []struct {
		reports map[uint16]*peer.Report
		waited  bool
		want    string
	}{
		{map[uint16]*peer.Report{1: nil, 2: {}}, true,
			"mx3: waiting, how many messages are left is not known: " +
				"no node that answers leads the mail of mx3"},
		{map[uint16]*peer.Report{1: leads(7, 0, 0)}, true,
			"mx3: delivering, 0 messages left, leads 1 group"},
		{map[uint16]*peer.Report{1: leads(7, 9, 0), 2: leads(8, 4, 2)}, true,
			"mx3: delivering, 4 messages left, 2 messages handed over"},
		{map[uint16]*peer.Report{1: {}}, false, "mx3: handing over, 0 messages left"},
	} {
		p := homeDrained(m, 5, c.waited, c.reports)
		if got := DrainLine(&p); !strings.HasPrefix(got, c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// TestLastNodeIsNotDrained: one must stay that takes mail; a drain that has begun is watched.
func TestLastNodeIsNotDrained(t *testing.T) {
	member := func(id uint16, s control.MemberState) control.Member {
		return control.Member{ID: id, Name: "mx", State: s}
	}
	for _, c := range []struct {
		own, other control.MemberState
		refused    bool
	}{
		{control.Active, control.Active, false},
		{control.Active, control.Draining, true},
		{control.Active, control.Joining, true},
		{control.Draining, control.Draining, false},
	} {
		m := member(1, c.own)
		err := lastThatTakes(m, []control.Member{m, member(2, c.other)})
		var e *api.Error
		if refused := errors.As(err, &e) && e.Exit == 65; refused != c.refused {
			t.Errorf("%s beside %s: %v", c.own, c.other, err)
		}
	}
}

// TestOnlyTheDeadAreReplaced: neither is one that answers replaced, nor one by another that does
// not.
func TestOnlyTheDeadAreReplaced(t *testing.T) {
	old := control.Member{ID: 1, Name: "mx1", State: control.Active}
	heir := control.Member{ID: 4, Name: "mx4", State: control.Active}
	for _, c := range []struct {
		old, heir bool // answers
		exit      int  // 0: not refused
		hint      string
	}{
		{false, true, 0, ""},
		{true, true, 65, "postroad cluster drain mx1"},
		{true, false, 65, "postroad cluster drain mx1"},
		{false, false, 75, "start it"},
	} {
		answers := func(id uint16) bool { return id == 1 && c.old || id == 4 && c.heir }
		err := replaceable(old, heir, answers)
		var e *api.Error
		if errors.As(err, &e) != (c.exit > 0) ||
			e != nil && (e.Exit != c.exit || !strings.Contains(e.Hint, c.hint)) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
