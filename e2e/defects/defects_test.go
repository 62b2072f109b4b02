package defects

import (
	"errors"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/testkit/faults"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// The fault run is worth something only when it fails on a program that is broken. Each test here
// builds one with a planted defect, and the verdict must find it. The same scenario without the
// defect must be clean, so that what is found is the defect.

// defect is a scenario in which a planted defect shows.
type defect struct {
	tags  string
	nodes int
	play  func(*kit.Run) error
	found func(*faults.Verdict) bool
	verbs bool // operators are at work
}

// try plays the scenario with the defect and without it.
func (d defect) try(t *testing.T) {
	t.Run("planted", func(t *testing.T) {
		r := kit.StartRun(t, kit.RunOptions{Nodes: d.nodes, Tags: "faults," + d.tags, Seed: 7,
			Interval: 5 * time.Millisecond, Busy: true, Extra: d.extra(), Verbs: d.verbs})
		if err := d.play(r); errors.Is(err, faults.ErrEnded) {
			t.Logf("found: a node does not start again: %v", err)
			return
		} else if err != nil {
			t.Fatal(err)
		}
		if v, _ := r.Finish(5 * time.Second); !d.found(v) {
			t.Errorf("%s was not found", d.tags)
		}
	})
	t.Run("clean", func(t *testing.T) {
		if !kit.Long() {
			t.Skip("skipped: TestFaults and TestFaultsAlone show as much; POSTROAD_LONG=1 " +
				"plays it too")
		}
		r := kit.StartRun(t, kit.RunOptions{Nodes: d.nodes, Tags: "faults", Seed: 7,
			Interval: 5 * time.Millisecond, Busy: true, Extra: d.extra(), Verbs: d.verbs})
		if err := d.play(r); err != nil {
			t.Fatalf("%v\n%s", err, r.Logs())
		}
		r.MustBeClean()
	})
}

// extra is what the scenario adds to the configuration; operators bring it themselves.
func (d defect) extra() string {
	if d.verbs {
		return ""
	}
	return kit.SoonAgain
}

// TestFaultsFindOldRollCall: operators are answered from whatever a node knows, after a start
// before it has applied its log. It starts while the others are away, and so knows nothing for
// seconds.
func TestFaultsFindOldRollCall(t *testing.T) {
	play := func(r *kit.Run) error {
		r.Flows(200)
		away := make(chan error, 1)
		others := []int{1, 2}
		go func() {
			away <- r.Driver.Do(r.Ctx, faults.Step{Kind: faults.Kill, Node: 1, Sides: others,
				For: 12 * time.Second})
		}()
		kit.Eventually(r.T, time.Minute, func() bool { return len(r.Cluster.Live()) == 1 },
			func() string { return "the others are not away" })
		err := r.Driver.Do(r.Ctx, faults.Step{Kind: faults.Kill, Node: 0})
		if err := errors.Join(err, <-away); err != nil {
			return err
		}
		r.Flows(100)
		return nil
	}
	found := func(v *faults.Verdict) bool { return v.Untrue.N > 0 }
	defect{tags: "defect_rollcall", nodes: 3, play: play, found: found, verbs: true}.try(t)
}

// TestFaultsFindDrop: an ID is dropped after its 250, now and then.
func TestFaultsFindDrop(t *testing.T) {
	defect{tags: "defect_dropafter250", nodes: 1, play: func(r *kit.Run) error {
		r.Flows(1500)
		return nil
	}, found: func(v *faults.Verdict) bool { return v.Lost.N > 0 }}.try(t)
}

// TestFaultsFindNoSync: messages are acknowledged before they are on stable storage; all nodes lose
// power.
func TestFaultsFindNoSync(t *testing.T) {
	if !kit.Injects(t) {
		kit.Need(t, faults.ErrNoInjection)
	}
	play := func(r *kit.Run) error {
		r.World.Answer(faults.Slow(200 * time.Millisecond)) // so that there is something to lose
		r.Flows(200)
		for range 3 {
			if err := r.Driver.Do(r.Ctx, faults.Step{Kind: faults.Power}); err != nil {
				return err
			}
			r.Flows(100)
		}
		r.World.Answer(nil)
		return nil
	}
	defect{tags: "defect_nosync", nodes: 1, play: play,
		found: func(v *faults.Verdict) bool { return v.Lost.N > 0 }}.try(t)
}

// TestFaultsFindNoLease: an owner does not look at its lease before the final segment. Its disk
// hangs, so that raft, which waits for it, cannot step down; then it is cut off. Another is elected
// and delivers what the first one has under way, before the content. When the first one is let go
// on, only its lease can tell it not to.
func TestFaultsFindNoLease(t *testing.T) {
	if !kit.Injects(t) {
		kit.Need(t, faults.ErrNoInjection)
	}
	play := func(r *kit.Run) error {
		c, sink := newContest(1, mailtest.AtData, "", mailtest.Action{}), r.World.Sink
		cut := func() {
			// until something that raft writes hangs; no harm is done by more, up to half a minute
			<-time.After(2 * time.Second)
			r.Cluster.Net.Partition(faults.Stalled, []int{1}, []int{2, 3})
		}
		heal := func() {
			kit.Eventually(r.T, time.Minute, func() bool {
				return c.twice(sink.Deliveries()) ||
					r.World.UnderWay()[1] == 0
			},
				func() string { return "the first owner neither goes on nor gives up" })
			r.Cluster.Net.Heal()
		}
		if err := runContest(r, c, 5, faults.Step{Kind: faults.Stall},
			func() bool { return c.wonBy(sink.Deliveries()) }, cut, heal); err != nil {
			return err
		}
		r.World.Answer(nil)
		r.Flows(100)
		return nil
	}
	defect{tags: "defect_nolease", nodes: 3, play: play,
		found: func(v *faults.Verdict) bool { return v.Unexcused.N > 0 }}.try(t)
}

// TestFaultsFindNoFence: a deposed owner does not end what it has under way, and the outcomes are
// taken after its term (defect_nofence takes both protections away). Its attempts are answered when
// it goes on after a pause: refused for good. Another owner has tried meanwhile and was put off;
// what it still has to deliver must not be failed by a word of the past.
func TestFaultsFindNoFence(t *testing.T) {
	play := func(r *kit.Run) error {
		c := newContest(1, mailtest.AtEnd, "550 5.7.1 not any more",
			mailtest.Action{Reply: "451 4.7.1 later"})
		pause := faults.Step{Kind: faults.Pause}
		if err := runContest(r, c, 5, pause, c.allTriedElsewhere, nothing, nothing); err != nil {
			return err
		}
		// The first owner leads again, and has had all the time to say what it has heard. Who asked
		// for the mail is told that it failed, or nobody is.
		within(10*time.Second, func() bool { return reported(r.World.Sink.Deliveries()) })
		r.World.Answer(nil)
		r.Flows(100)
		return nil
	}
	defect{tags: "defect_nofence", nodes: 3, play: play,
		found: func(v *faults.Verdict) bool { return v.Lost.N > 0 && v.Reports > 0 }}.try(t)
}
