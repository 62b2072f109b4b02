package share

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

// desk is a grantor in made-up time, with three groups and one site: 6 connections, 60 a second, of
// which each group has 3 reserved.
type desk struct {
	*Grantor
	t    *testing.T
	now  time.Time
	term uint64
	seq  uint64
}

var deskLimit = Limit{Connections: 6, Rate: 60}

func newDesk(t *testing.T) *desk {
	d := &desk{t: t, now: time.Unix(1_700_000_000, 0), term: 1}
	d.Grantor = NewGrantor(GrantorOptions{
		Leading: func() uint64 {
			return d.term
		}, Groups: func() []uint64 { return []uint64{2, 3, 4} },
		Now: func() time.Time { return d.now },
	})
	return d
}

// say sends a request of a holder that is old enough, in the present reign.
func (d *desk) say(group, epoch uint64, n Need) Share {
	d.t.Helper()
	d.seq++
	r := Request{Tenure: Tenure{group, epoch}, Seq: d.seq, Reign: d.term, Groups: 3,
		Age: time.Minute}
	if n != (Need{}) {
		n.Site, n.Limit = "a", deskLimit
		r.Needs = []Need{n}
	}
	for _, s := range ask(d.t, d.Grantor, r).Shares {
		return s
	}
	return Share{}
}

// open ends the silence.
func (d *desk) open() *desk {
	for g := uint64(2); g <= 4; g++ {
		d.say(g, 1, Need{})
	}
	return d
}

func (d *desk) want(s Share, connections int, rate float64) {
	d.t.Helper()
	if s.Connections != connections || s.Rate < rate-0.01 || s.Rate > rate+0.01 {
		d.t.Errorf("granted %d connections and %.1f/s, want %d and %.1f", s.Connections, s.Rate,
			connections, rate)
	}
}

// TestTakenBackWhenKnown: one holder's part goes to another when the first says that it knows, not
// before.
func TestTakenBackWhenKnown(t *testing.T) {
	d := newDesk(t).open()
	all := Need{Want: 6, WantRate: 57}
	d.want(d.say(2, 1, all), 6, 51)
	d.want(d.say(3, 1, all), 0, 0) // its part is 3 and 25.5, but the other has all
	d.want(d.say(2, 1, Need{Used: 6, Held: 6, HeldRate: 51, Want: 6, WantRate: 57}), 3, 25.5)
	d.want(d.say(3, 1, all), 0, 0) // this answer may have been lost
	d.want(d.say(2, 1, Need{Used: 4, Held: 3, HeldRate: 25.5, Want: 6, WantRate: 57}), 3, 25.5)
	d.want(d.say(3, 1, all), 2, 25.5)
}

// A share of a rate ends with its lease. Connections that it allowed are counted as long as the
// holder may have them.
func TestSilentHolder(t *testing.T) {
	d := newDesk(t).open()
	all := Need{Want: 6, WantRate: 57}
	d.want(d.say(2, 1, Need{Want: 4, WantRate: 57}), 4, 51)
	d.now = d.now.Add(DefaultLease + time.Second)
	d.want(d.say(3, 1, all), 2, 51)
	d.now = d.now.Add(5 * time.Minute)
	d.want(d.say(3, 1, all), 2, 51)
	d.now = d.now.Add(forget)
	d.want(d.say(3, 1, all), 6, 51)
}

// When a group has a new owner, the one before starts nothing any more; its connections are counted
// until they are surely closed.
func TestNewOwner(t *testing.T) {
	d := newDesk(t).open()
	d.want(d.say(2, 1, Need{Want: 4, WantRate: 57}), 4, 51)
	r := Request{Tenure: Tenure{2, 2}, Seq: 1, Reign: 1, Groups: 3, Age: DefaultLinger / 2}
	ask(t, d.Grantor, r)
	all := Need{Want: 6, WantRate: 57}
	d.want(d.say(3, 1, all), 2, 51)
	d.want(d.say(2, 1, Need{Used: 4, Want: 6, WantRate: 57}), 0, 0) // the deposed one
	d.now = d.now.Add(DefaultLinger/2 - 1)
	d.want(d.say(3, 1, all), 2, 51)
	d.now = d.now.Add(2)
	d.want(d.say(3, 1, all), 6, 51)
}

// A new grantor lets the holders keep what they have, and gives out no more until all have spoken.
func TestNewGrantor(t *testing.T) {
	d := newDesk(t).open()
	all := Need{Want: 6, WantRate: 57}
	d.want(d.say(2, 1, Need{Want: 3, WantRate: 20}), 3, 20)
	d.say(4, 1, Need{Want: 1, WantRate: 5})
	d.term = 2
	d.want(d.say(2, 1, Need{Used: 2, Held: 3, HeldRate: 20, Want: 6, WantRate: 57}), 3, 20)
	d.want(d.say(3, 1, all), 0, 0)
	d.want(d.say(2, 1, Need{Used: 2, Held: 1, HeldRate: 8, Want: 6, WantRate: 57}), 1, 10)
	d.want(d.say(3, 1, all), 1, 10) // what the other let go of
	d.say(4, 1, Need{Held: 1, Want: 1, WantRate: 5, HeldRate: 5})
	d.want(d.say(3, 1, all), 3, 23)
}

// A new grantor does not wait for the groups that have no owner for ever.
func TestGroupWithoutOwner(t *testing.T) {
	d := newDesk(t)
	all := Need{Want: 6, WantRate: 57}
	d.want(d.say(2, 1, all), 0, 0)
	d.now = d.now.Add(DefaultLease)
	d.want(d.say(2, 1, all), 0, 51) // shares of rates have ended
	d.now = d.now.Add(forget)
	d.want(d.say(2, 1, all), 6, 51)
}

// TestOldRequest: a request from before the reign says nothing about now.
func TestOldRequest(t *testing.T) {
	d := newDesk(t).open()
	d.term = 2
	old := Request{Tenure: Tenure{2, 1}, Seq: 100, Reign: 1, Groups: 3, Age: time.Minute}
	if g := ask(t, d.Grantor, old); g.Reign != 2 || g.Lease != 0 || g.Shares != nil {
		t.Errorf("answered with %+v", g)
	}
	d.say(3, 1, Need{})
	d.want(d.say(4, 1, Need{Want: 6, WantRate: 57}), 0, 0) // group 2 has not spoken
	r := Request{Tenure: Tenure{4, 1}, Seq: d.seq, Reign: 2, Groups: 3}
	if _, err := d.Ask(context.Background(), r); !errors.Is(err, ErrSuperseded) {
		t.Errorf("a request that came twice: %v", err)
	}
	d.term = 0
	if _, err := d.Ask(context.Background(), r); !errors.Is(err, ErrNotGrantor) {
		t.Errorf("not leading: %v", err)
	}
}

// Those who count with fewer groups have more reserved.
func TestGroupsDiffer(t *testing.T) {
	d := newDesk(t).open()
	r := Request{Tenure: Tenure{3, 1}, Seq: 100, Reign: 1, Groups: 1, Age: time.Minute}
	ask(t, d.Grantor, r)
	d.want(d.say(2, 1, Need{Want: 6, WantRate: 57}), 0, 0) // group 3 thinks that it is alone
}

// Fewer connections than takers: they take turns.
func TestTurns(t *testing.T) {
	var had [3]int
	for turn := range 6 {
		for i, n := range divideWhole(2, []int{9, 9, 9}, turn) {
			had[i] += n
		}
	}
	if had != [3]int{4, 4, 4} {
		t.Errorf("had %v turns of 12", had)
	}
}

// from sends a request of a holder on a node, and returns what the site is granted and whether its
// reserved part has to wait.
func (d *desk) from(
	node uint16, group, epoch uint64, age time.Duration, n Need,
) (connections int, wait bool) {
	d.t.Helper()
	d.seq++
	n.Site, n.Limit = "a", deskLimit
	g := ask(d.t, d.Grantor, Request{Tenure: Tenure{group, epoch}, Seq: d.seq, Reign: d.term,
		Groups: 3, Age: age, Node: node, Needs: []Need{n}})
	for _, s := range g.Shares {
		connections = s.Connections
	}
	return connections, g.Wait
}

// A deposed holder whose process may be stopped keeps its charge, and its successor uses no
// reserved part, until its node says that it has closed all, no process is left, or patience is at
// an end.
func TestStoppedHolder(t *testing.T) {
	for _, c := range []struct {
		name  string
		after time.Duration // of the deposition, the last moment in which it counts
		end   func(d *desk, deposed time.Time)
	}{
		{"patience", DefaultPatience - 1, func(d *desk, _ time.Time) { d.now = d.now.Add(1) }},
		{"closed", 20 * time.Second, func(d *desk, deposed time.Time) {
			d.Note(9, d.now, []Tenure{{2, 2}, {3, 1}}) // it has woken up, and not yet closed them
			d.Note(9, deposed.Add(-1), nil)            // an answer from before
			d.Note(8, d.now, nil)                      // another one's
			if n, _ := d.from(8, 3, 1, time.Minute, Need{Want: 6}); n != 2 {
				d.t.Errorf("granted %d connections, want the 2 that were left", n)
			}
			d.Note(9, d.now, []Tenure{{3, 1}})
		}},
		{"no process", 0, func(d *desk, _ time.Time) { d.Note(9, d.now, nil) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t).open()
			if n, _ := d.from(9, 2, 2, time.Minute, Need{Want: 4}); n != 4 {
				t.Fatalf("granted %d", n)
			}
			d.from(7, 2, 3, DefaultLinger, Need{})
			deposed := d.now
			d.now = d.now.Add(c.after)
			if n, _ := d.from(8, 3, 1, time.Minute, Need{Want: 6}); n != 2 {
				t.Errorf("granted %d connections, want the 2 that are left", n)
			}
			if _, wait := d.from(7, 2, 3, DefaultLinger+c.after, Need{}); !wait {
				t.Error("the successor may use its reserved part")
			}
			if all := d.Doubts(); len(all) != 1 || all[0] != (Doubt{Node: 9, Connections: 4}) {
				t.Errorf("in doubt: %v", all)
			}
			c.end(d, deposed)
			if n, _ := d.from(8, 3, 1, time.Minute, Need{Want: 6}); n != 6 {
				t.Errorf("granted %d connections at the end, want 6", n)
			}
			if _, wait := d.from(7, 2, 3, time.Minute, Need{}); wait || len(d.Doubts()) > 0 {
				t.Errorf("the successor waits still: %v; in doubt: %v", wait, d.Doubts())
			}
		})
	}
}

// A new grantor gives out no more than what it was told of until each node that was there of late
// has answered, or its patience is at an end.
func TestNewGrantorAsks(t *testing.T) {
	d := newDesk(t)
	d.o.Heard = func() map[uint16]time.Time {
		return map[uint16]time.Time{8: d.now, 9: d.now.Add(-10 * time.Second),
			10: d.now.Add(-DefaultPatience)}
	}
	d.open()
	granted := func(want int, wait bool, doubts ...uint16) {
		t.Helper()
		n, waits := d.from(8, 3, 1, 2*time.Second, Need{Want: 6})
		if n != want || waits != wait {
			t.Errorf("granted %d connections, want %d; the reserved part waits: %v", n, want, waits)
		}
		var in []uint16
		for _, q := range d.Doubts() {
			in = append(in, q.Node)
		}
		if !slices.Equal(in, doubts) {
			t.Errorf("in doubt: %v, want %v", in, doubts)
		}
	}
	granted(0, true, 8, 9)
	d.Note(8, d.now.Add(-1), nil) // an answer to the grantor before
	granted(0, true, 8, 9)
	d.Note(8, d.now, []Tenure{{3, 1}})
	granted(0, true, 9)
	d.now = d.now.Add(DefaultPatience - 10*time.Second - 1)
	d.Note(9, d.now, []Tenure{{4, 1}, {2, 0}}) // it woke up: one of them is deposed
	granted(0, true, 9)
	d.now = d.now.Add(time.Second)
	d.Note(9, d.now, []Tenure{{4, 1}})
	granted(6, false)
}

// The linger is over as soon as all nodes have said that they have no holder of the group before,
// to a question that came after its successor spoke.
func TestLingerCutShort(t *testing.T) {
	d := newDesk(t)
	d.o.Members = func() []uint16 { return []uint16{7, 8, 9} }
	d.open()
	d.from(9, 2, 2, time.Minute, Need{})
	d.now = d.now.Add(time.Minute)
	d.from(7, 2, 3, 0, Need{}) // 9 has died
	waits := func(want bool) {
		t.Helper()
		if _, wait := d.from(7, 2, 3, 0, Need{}); wait != want {
			t.Errorf("the successor waits: %v, want %v", wait, want)
		}
	}
	d.Note(9, d.now, nil)
	d.Note(8, d.now.Add(-1), nil) // an answer from before
	d.Note(8, d.now, []Tenure{{2, 1}})
	waits(true)
	want := []Doubt{{Node: 7, Brief: true}, {Node: 8, Brief: true}}
	if all := d.Doubts(); !slices.Equal(all, want) {
		t.Errorf("in doubt: %v", all)
	}
	d.Note(7, d.now, []Tenure{{2, 3}})
	d.Note(8, d.now, []Tenure{{3, 1}})
	waits(false)
	if all := d.Doubts(); len(all) > 0 {
		t.Errorf("in doubt: %v", all)
	}
}
