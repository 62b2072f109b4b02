package member

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/cluster/control"
)

// answer is what a fake member says of itself.
type answer struct {
	from   uint16
	silent map[uint16]int64
}

// crowd is members that answer or not, and the Detector that asks them.
type crowd struct {
	*Detector[answer]
	mu         sync.Mutex
	present    []control.Member
	dead       map[uint16]bool
	silent     map[uint16]int64 // what each says of others
	alerts     []Event
	unanswered []uint16
}

// newCrowd runs the Detector of member 1 of three, in virtual time.
func newCrowd(ctx context.Context) *crowd {
	c := &crowd{dead: map[uint16]bool{}}
	for id, name := range []string{"mx1", "mx2", "mx3"} {
		m := control.Member{ID: uint16(id + 1), Name: name, State: control.Active}
		c.present = append(c.present, m)
	}
	locked := func(f func()) { c.mu.Lock(); defer c.mu.Unlock(); f() }
	c.Detector = NewDetector(DetectorOptions[answer]{
		Self: 1,
		Members: func() (all []control.Member) {
			locked(func() { all = slices.Clone(c.present) })
			return all
		},
		Ask: func(_ context.Context, member uint16) (*answer, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.dead[member] {
				return &answer{}, errors.New("no answer") // half of one does not count
			}
			return &answer{member, c.silent}, nil
		},
		Silent: func(a *answer) map[uint16]int64 { return a.silent },
		Unanswered: func(member uint16, _ error) {
			locked(func() { c.unanswered = append(c.unanswered, member) })
		},
		Alert: func(e Event) { locked(func() { c.alerts = append(c.alerts, e) }) },
	})
	go c.Run(ctx)
	return c
}

func (c *crowd) set(member uint16, dead bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead[member] = dead
}

// after lets time pass, and the round at its end be over.
func after(d time.Duration) {
	time.Sleep(d + time.Millisecond)
	synctest.Wait()
}

func (c *crowd) events() (all []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.alerts {
		all = append(all, e.Name+" "+e.MemberName)
	}
	return all
}

// TestMissedMember: a member that is away is unreachable after 7 seconds, a matter for the operator
// after ten minutes, once, and back when it answers again.
func TestMissedMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t.Context())
		after(time.Minute)
		if r := c.Reports(); !c.Reachable(3) || len(c.Absent(GoneAfter)) > 0 || len(r) != 2 ||
			r[3].from != 3 {
			t.Fatalf("all answer: %v", c.Absent(0))
		}
		c.set(3, true)
		gone := time.Now()
		after(5 * time.Second)
		if !c.Reachable(3) {
			t.Error("unreachable after 5 s")
		}
		after(5 * time.Second)
		a := c.Absent(GoneAfter)
		if c.Reachable(3) || !c.Reachable(2) || !c.Reachable(1) || len(a) != 1 {
			t.Fatalf("after 10 s: absent %v", a)
		}
		if a[0].Member.Name != "mx3" || gone.Sub(a[0].Since) > PingEvery ||
			gone.Before(a[0].Since) {
			t.Errorf("absent %v, gone since %v", a, gone)
		}
		if s := c.Silent(); len(s) != 1 || s[3] < 9 || s[3] > 12 {
			t.Errorf("it says that these are silent: %v", s)
		}
		if r := c.Reports(); r[3] != nil || r[2] == nil {
			t.Error("what a member said that is gone counts no more")
		}
		after(MissedAfter - 15*time.Second)
		if e := c.events(); len(e) > 0 {
			t.Errorf("before ten minutes: %v", e)
		}
		after(10 * time.Second)
		after(time.Hour)
		missing := []string{"member_missing mx3"}
		if e := c.events(); !slices.Equal(e, missing) || len(c.Absent(MissedAfter)) != 1 {
			t.Errorf("after an hour: %v", e)
		}
		e := c.alerts[0]
		if e.Informational || e.Since != a[0].Since || e.Member != 3 ||
			!strings.Contains(e.Words, "cluster replace mx3 NEW") {
			t.Errorf("the alert: %+v", e)
		}
		c.set(3, false)
		after(PingEvery)
		if e := c.events(); !slices.Equal(e, append(missing, "member_back mx3")) ||
			len(c.Absent(GoneAfter)) != 0 {
			t.Errorf("back: %v", e)
		}
		if a := c.Answered(); time.Since(a[3]) > PingEvery || len(a) != 2 {
			t.Errorf("answered: %v", a)
		}
	})
}

// TestJoiningMemberIsNotMissed: it may never have run.
func TestJoiningMemberIsNotMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t.Context())
		c.mu.Lock()
		c.present[2].State = control.Joining
		c.mu.Unlock()
		c.set(3, true)
		after(time.Hour)
		if e := c.events(); len(e) > 0 || len(c.Absent(GoneAfter)) > 0 || c.Reachable(3) {
			t.Errorf("%v, absent %v", e, c.Absent(0))
		}
	})
}

// TestOthersHaveWaitedLonger: a node that has just started learns from another since when a member
// is missing; of who answers itself it believes itself.
func TestOthersHaveWaitedLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t.Context())
		c.mu.Lock()
		c.silent = map[uint16]int64{3: 700, 1: 900, 2: 900, 9: 900}
		c.mu.Unlock()
		c.set(3, true)
		start := time.Now()
		after(5 * time.Second)
		if e := c.events(); len(e) > 0 {
			t.Errorf("before it was asked for long enough: %v", e)
		}
		after(5 * time.Second)
		a := c.Absent(GoneAfter)
		if e := c.events(); !slices.Equal(e, []string{"member_missing mx3"}) || len(a) != 1 ||
			start.Sub(a[0].Since) < 11*time.Minute {
			t.Errorf("%v, %v", e, a)
		}
	})
}

// TestRemovedMemberIsForgotten: nobody is missed who is no member.
func TestRemovedMemberIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t.Context())
		c.set(3, true)
		after(time.Minute)
		c.mu.Lock()
		c.present = c.present[:2]
		c.mu.Unlock()
		after(time.Hour)
		if e := c.events(); len(e) > 0 || len(c.Absent(0)) != 1 || len(c.known) != 1 {
			t.Errorf("%v, %v", e, c.Absent(0))
		}
		if len(c.unanswered) < 20 || slices.Contains(c.unanswered, 2) {
			t.Errorf("questions without an answer: %v", c.unanswered)
		}
	})
}
