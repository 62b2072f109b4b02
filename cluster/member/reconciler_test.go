package member

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
)

// groupIn returns a group as the control state has it.
func groupIn(w *world, id uint64) control.Group {
	w.Helper()
	g, ok := w.state.Group(id)
	if !ok {
		w.Fatalf("there is no group %d", id)
	}
	return g
}

// TestNewGroupIsStarted: a new group whose home is here is founded, its beginning is told, and it
// takes what comes, since nobody else is there to be its voter.
func TestNewGroupIsStarted(t *testing.T) {
	play(t, func(w *world) {
		if at := NewReconciler(w.o).LastRound(); !at.IsZero() {
			w.Errorf("before the first round it was at %v", at)
		}
		w.start()
		w.mustBe("join 2")
		g := groupIn(w, home)
		if g.State != control.GroupServing || g.Observed.Plan != g.Plan ||
			!w.o.Parts.Accepts(home) {
			w.Errorf("the group: %+v", g)
		}
		after(10 * time.Second)
		w.mustBe()
		w.failed("")
		if ago := time.Since(w.LastRound()); ago > RoundEvery+time.Millisecond {
			w.Errorf("the last round was %v ago", ago)
		}
	})
}

// TestNewMemberGetsItsPlaces: whoever leads adds it step by step, and reports each.
func TestNewMemberGetsItsPlaces(t *testing.T) {
	play(t, func(w *world) {
		w.start()
		w.were()
		w.lags(home, 2, true)
		w.member("mx2", 2)
		after(2 * time.Second)
		done, lines := w.were()
		if !slices.Contains(done, "group 2: add non-voter 2") ||
			slices.Contains(done, "group 2: add voter 2") || len(lines) > 0 {
			w.Errorf("while it is behind: %q, %q", done, lines)
		}
		w.lags(home, 2, false)
		after(2 * time.Second)
		w.mustBe("group 2: add voter 2")
		for _, id := range []uint64{cluster.ControlGroup, home} {
			if g := groupIn(w, id); !g.Settled() ||
				!slices.Equal(g.Observed.Voters, []uint16{1, 2}) {
				w.Errorf("group %d: %+v", id, g)
			}
		}
	})
}

// TestLeaderAloneChanges: a member that leads nothing changes nothing, and asks for its home group
// every now and then.
func TestLeaderAloneChanges(t *testing.T) {
	play(t, func(w *world) {
		w.member("mx2", 2)
		w.start()
		after(5 * time.Second)
		w.were()
		for _, id := range []uint64{cluster.ControlGroup, home} {
			w.leads(id, 2)
		}
		w.member("mx3", 3)
		w.plan()
		version := w.state.Version()
		after(10 * time.Second)
		done, lines := w.were()
		asked := len(done)
		done = slices.DeleteFunc(done, func(what string) bool { return what == "group 2: ask" })
		if asked < 4 || asked > 6 || len(done) > 0 || len(lines) > 0 ||
			w.state.Version() != version {
			w.Errorf("asked %d times, %q, %q", asked, done, lines)
		}
		w.leads(home, 1)
		after(2 * time.Second)
		w.mustBe("group 2: add non-voter 3", "group 2: add voter 3")
	})
}

// TestSlowChangeIsMadeOnce: a round that has begun before a change was made, and decides after it,
// does not make it again.
func TestSlowChangeIsMadeOnce(t *testing.T) {
	play(t, func(w *world) {
		w.start()
		w.were()
		w.groupOf(home).slow = RoundEvery * 3 / 2
		w.leads(cluster.ControlGroup, 2)
		w.member("mx2", 2)
		w.plan()
		after(10 * time.Second)
		w.mustBe("group 2: add non-voter 2", "group 2: add voter 2")
	})
}

// TestNothingIsDoneByAnOldState: while the control state is not known to be new, no member is added
// or removed by it.
func TestNothingIsDoneByAnOldState(t *testing.T) {
	play(t, func(w *world) {
		w.start()
		w.were()
		w.leads(cluster.ControlGroup, 2)
		w.knows(false)
		w.member("mx2", 2)
		w.plan()
		version := w.state.Version()
		after(10 * time.Second)
		w.mustBe()
		if w.state.Version() != version {
			w.Error("something was reported")
		}
		w.knows(true)
		after(2 * time.Second)
		w.mustBe("group 2: add non-voter 2", "group 2: add voter 2")
	})
}

// TestGroupThatEndedHere: it is begun anew only by the word of a state that is known to be new.
func TestGroupThatEndedHere(t *testing.T) {
	play(t, func(w *world) {
		w.groupOf(home).ended = true
		w.knows(false)
		w.start()
		after(time.Minute)
		w.mustBe()
		w.knows(true)
		after(RoundEvery)
		w.mustBe("join 2")
	})
}

// TestGroupThatHasGoneIsLeft: what is held of a group that is not wanted here is deleted half a
// minute after that was first seen to be so, unless it is led here.
func TestGroupThatHasGoneIsLeft(t *testing.T) {
	play(t, func(w *world) {
		w.held = []uint64{8, 9}
		led := w.groupOf(9)
		led.term, led.conf = 1, cluster.Members{Voters: []uint16{1}}
		w.start()
		w.were()
		after(retireAfter - 5*time.Second)
		w.knows(false) // perhaps it is wanted after all
		after(5 * time.Second)
		w.knows(true)
		after(retireAfter - 5*time.Second)
		w.mustBe()
		after(10 * time.Second)
		w.mustBe("leave 8")
		w.leads(9, 2)
		after(retireAfter + time.Second)
		w.mustBe("leave 9")
	})
}

// TestFewerVotersThanThereShouldBe: a group takes nothing before it has the members that it should
// have, and goes on when it has lost some.
func TestFewerVotersThanThereShouldBe(t *testing.T) {
	play(t, func(w *world) {
		w.member("mx2", 2)
		w.lags(home, 2, true)
		w.start()
		after(5 * time.Second)
		if w.o.Parts.Accepts(home) {
			w.Error("it takes mail alone, beside another member")
		}
		w.lags(home, 2, false)
		after(2 * time.Second)
		if !w.o.Parts.Accepts(home) {
			w.Error("it takes no mail with both")
		}
		w.member("mx3", 3)
		w.lags(home, 3, true)
		after(5 * time.Second)
		if g := groupIn(w, home); len(g.Voters) != 3 || !w.o.Parts.Accepts(home) {
			w.Errorf("with two of three: %+v", g)
		}
	})
}

// TestErrors: what fails is tried again in every round, and logged every few seconds; what a
// refusal says comes right by itself, and is not.
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{errors.New("no quorum"), "group 2: add non-voter: no quorum"},
		{fmt.Errorf("%w: no leader now", cluster.ErrRefused), ""},
		{control.ErrStale, ""},
	} {
		play(t, func(w *world) {
			w.start()
			w.were()
			w.fails(home, c.err)
			w.member("mx2", 2)
			after(10 * time.Second)
			done, lines := w.were()
			tries := 0
			for _, what := range done {
				if what == "group 2: add non-voter 2" {
					tries++
				}
			}
			logged := 0
			for _, line := range lines {
				if line != c.want {
					w.Errorf("logged: %q", line)
				}
				logged++
			}
			if tries < 15 || c.want != "" && (logged < 3 || logged > 4) {
				w.Errorf("%v: tried %d times, logged %d times", c.err, tries, logged)
			}
			w.fails(home, nil)
			after(2 * time.Second)
			if g := groupIn(w, home); !g.Settled() {
				w.Errorf("%v: when it works: %+v", c.err, g)
			}
		})
	}
}

// TestPartsGoOn: what is to be done with what is in a group is done by its leader, once its members
// are as they should be.
func TestPartsGoOn(t *testing.T) {
	play(t, func(w *world) {
		w.next = func(g control.Group) (string, error) {
			if !g.Settled() {
				w.Errorf("asked before the group lies as it should: %+v", g)
			}
			return "handing over", errors.New("no taker")
		}
		w.start()
		after(time.Second)
		done, lines := w.were()
		if !slices.Contains(done, "group 2: handing over") ||
			!slices.Equal(lines, []string{"group 2: handing over: no taker"}) {
			w.Errorf("%q, %q", done, lines)
		}
		w.leads(home, 2)
		after(RoundEvery)
		w.were()
		after(5 * time.Second)
		done, _ = w.were()
		if slices.Contains(done, "group 2: handing over") {
			w.Errorf("done by who does not lead: %q", done)
		}
	})
}

// TestGroupThatCannotBeStarted: with a damaged disk the process ends; else it is tried again.
func TestGroupThatCannotBeStarted(t *testing.T) {
	play(t, func(w *world) {
		w.joins = errors.New("no memory")
		w.start()
		_, lines := w.were()
		if len(lines) == 0 || lines[0] != "group 2 cannot be started here: no memory" {
			w.Errorf("logged: %q", lines)
		}
		w.failed("")
		w.locked(func() { w.joins = fmt.Errorf("segment 3: %w", cluster.ErrLost) })
		after(RoundEvery)
		w.failed("segment 3")
	})
}
