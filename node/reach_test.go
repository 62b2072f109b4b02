package node

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

// crowd is members that answer or not.
type crowd struct {
	*reach
	mu      sync.Mutex
	present []control.Member
	dead    map[uint16]bool
	silent  map[uint16]int64 // what each says of others
	alarms  []alarm
	refused []uint16
}

// newCrowd runs the reach of member 1 of three, in virtual time.
func newCrowd(ctx context.Context) *crowd {
	c := &crowd{dead: map[uint16]bool{}}
	for id, name := range []string{"mx1", "mx2", "mx3"} {
		c.present = append(c.present, control.Member{ID: uint16(id + 1), Name: name, State: control.Active})
	}
	c.reach = &reach{
		self:    1,
		members: func() []control.Member { c.mu.Lock(); defer c.mu.Unlock(); return slices.Clone(c.present) },
		ask: func(_ context.Context, member uint16) (*report, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.dead[member] {
				return nil, errors.New("no answer")
			}
			return &report{Version: "v", Silent: c.silent}, nil
		},
		refused: func(member uint16, _ error) { c.mu.Lock(); defer c.mu.Unlock(); c.refused = append(c.refused, member) },
		raise:   func(a alarm) { c.mu.Lock(); defer c.mu.Unlock(); c.alarms = append(c.alarms, a) },
	}
	go c.run(ctx)
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
	for _, a := range c.alarms {
		all = append(all, a.event+" "+a.name)
	}
	return all
}

// TestMissedMember: a member that is away is unreachable after 7 seconds, a matter for the operator
// after ten minutes, once, and back when it answers again.
func TestMissedMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t.Context())
		after(time.Minute)
		if !c.reachable(3) || len(c.absent(goneAfter)) > 0 || len(c.reports()) != 2 {
			t.Fatalf("all answer: %v", c.absent(0))
		}
		c.set(3, true)
		gone := time.Now()
		after(5 * time.Second)
		if !c.reachable(3) {
			t.Error("unreachable after 5 s")
		}
		after(5 * time.Second)
		a := c.absent(goneAfter)
		if c.reachable(3) || !c.reachable(2) || !c.reachable(1) || len(a) != 1 || a[0].member.Name != "mx3" || gone.Sub(a[0].since) > pingEvery || gone.Before(a[0].since) {
			t.Errorf("after 10 s: absent %v, gone since %v", a, gone)
		}
		if r := c.reports(); r[3] != nil || r[2] == nil {
			t.Error("what a member said that is gone counts no more")
		}
		after(missedAfter - 15*time.Second)
		if e := c.events(); len(e) > 0 {
			t.Errorf("before ten minutes: %v", e)
		}
		after(10 * time.Second)
		after(time.Hour)
		if e := c.events(); !slices.Equal(e, []string{"member_missing mx3"}) || len(c.absent(missedAfter)) != 1 {
			t.Errorf("after an hour: %v", e)
		}
		if m := c.alarms[0]; m.calm || m.since != a[0].since || m.member != 3 || !strings.Contains(m.words, "postroad cluster replace mx3 NEW") {
			t.Errorf("the alarm: %+v", m)
		}
		c.set(3, false)
		after(pingEvery)
		if e := c.events(); !slices.Equal(e, []string{"member_missing mx3", "member_back mx3"}) || len(c.absent(goneAfter)) != 0 {
			t.Errorf("back: %v", e)
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
		a := c.absent(goneAfter)
		if e := c.events(); !slices.Equal(e, []string{"member_missing mx3"}) || len(a) != 1 || start.Sub(a[0].since) < 11*time.Minute {
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
		if e := c.events(); len(e) > 0 || len(c.absent(0)) != 1 || len(c.known) != 1 {
			t.Errorf("%v, %v", e, c.absent(0))
		}
		if len(c.refused) < 20 || slices.Contains(c.refused, 2) {
			t.Errorf("questions without an answer: %v", c.refused)
		}
	})
}
