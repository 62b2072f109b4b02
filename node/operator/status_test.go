package operator

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
)

// TestStatusOfAWellCluster has no problem, and says that it survives one loss.
func TestStatusOfAWellCluster(t *testing.T) {
	w := newWorld(t, 3)
	w.leads(1, cluster.ControlGroup, 0)
	for id := uint16(1); id <= 3; id++ {
		w.leads(id, w.home(id), uint64(id))
	}
	st, err := w.operator().Status(t.Context())
	if err != nil || len(st.Problems) != 0 || st.Survives != 1 || len(st.Members) != 3 {
		t.Fatalf("%+v, %v", st, err)
	}
	if st.Cluster != "c1" || st.Node != "mx1" || !st.Members[0].Self || !st.Members[2].Reachable {
		t.Errorf("%+v", st)
	}
	for _, g := range st.Groups {
		if g.Leader == "" || len(g.Voters) != 3 || len(g.Lag) != 2 {
			t.Errorf("group %d: %+v", g.ID, g)
		}
		if g.ID == w.home(3) && (g.Home != "mx3" || *g.Messages != 3) {
			t.Errorf("the home group of mx3: %+v", g)
		}
	}
}

// TestProblemsAreNamed: who does not answer, since when and what to do; which group has no leader,
// has not taken over the suspensions, waits, or is mistrusted.
func TestProblemsAreNamed(t *testing.T) {
	w := newWorld(t, 3)
	w.leads(1, cluster.ControlGroup, 0)
	w.leads(1, w.home(1), 0) // before the suspension
	w.leads(2, w.home(2), 0)
	suspended := control.Suspension{Kind: "domain", Name: "example.org", Reason: "x"}
	if _, err := w.changes.Suspend(t.Context(), suspended, 0); err != nil {
		t.Fatal(err)
	}
	last := &w.reports[2].Groups[0]
	last.Suspended, _ = w.state.Suspensions()
	last.Waits = "nobody takes it"
	last.Doubts = []cluster.Doubt{{Since: time.Unix(1_700_000_000, 0)}}
	delete(w.reports, 3)
	st, err := w.operator().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"mx3 does not answer since 2023-11-14T22:13:20Z: " +
			"bring it back, or join a new node and run " +
			"`postroad cluster replace mx3 NEW`",
		"(mail of mx3) has no leader: a majority of mx1, mx2, mx3 must answer",
		"has not taken over the latest suspensions: " +
			"it does so in a moment; if this stays, look at " +
			"the log of mx1",
		"(mail of mx2) is to go, and hands nothing over: nobody takes it",
		"mx2 is in quarantine in group",
	} {
		has := func(line string) bool { return strings.Contains(line, want) }
		if !slices.ContainsFunc(st.Problems, has) {
			t.Errorf("%q is not among\n%s", want, strings.Join(st.Problems, "\n"))
		}
	}
	if len(st.Problems) != 5 || st.Suspensions != 1 || st.Survives != 0 {
		t.Errorf("survives %d, %d suspensions:\n%s",
			st.Survives, st.Suspensions, strings.Join(st.Problems, "\n"))
	}
}

// TestLacks: a group that has just been handed over is not told of, and one that survives no
// further loss is.
func TestLacks(t *testing.T) {
	w := newWorld(t, 3)
	w.leads(1, cluster.ControlGroup, 0)
	w.leads(1, w.home(1), 0)
	w.leads(2, w.home(2), 0)
	delete(w.own.Groups[1].Lag, 2)
	delete(w.own.Groups[1].Lag, 3)
	reports := w.reports
	reports[1] = &w.own
	hears := func(group uint64) bool { return group == w.home(3) }
	got := w.operator().Lacks(reports, hears)
	want := "(mail of mx1) survives no further loss: its voters are mx1, mx2, mx3"
	if len(got) != 1 || !strings.Contains(got[0], want) {
		t.Errorf("%q", got)
	}
	nobody := func(uint64) bool { return false }
	if got = w.operator().Lacks(reports, nobody); len(got) != 2 ||
		!strings.Contains(got[0]+got[1], "(mail of mx3) has no leader") {
		t.Errorf("without news of a leader: %q", got)
	}
}
