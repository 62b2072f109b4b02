package share

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// client is a user with one site, and the network to a grantor that can be cut.
type client struct {
	mu      sync.Mutex
	g       *Grantor
	cut     bool
	asked   []Request
	want    int
	waiting int
	allowed []int // after each change
	groups  int
}

func (c *client) Survey(sites []*Site) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range sites {
		s.Want(c.want, c.waiting)
	}
}

func (c *client) Changed(sites []*Site) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range sites {
		c.allowed = append(c.allowed, s.Allowed())
	}
}

func (c *client) ask(ctx context.Context, r Request) (Grant, error) {
	c.mu.Lock()
	c.asked = append(c.asked, r)
	cut := c.cut
	c.mu.Unlock()
	if cut {
		return Grant{}, errors.New("no route to host")
	}
	return c.g.Ask(ctx, r)
}

// last and count tell of the requests so far, need what the holder wants from now on.
func (c *client) last() Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked[len(c.asked)-1]
}

func (c *client) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.asked)
}

func (c *client) need(connections, waiting int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.want, c.waiting = connections, waiting
}

func (c *client) told() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.allowed[len(c.allowed)-1]
}

func (c *client) among(groups int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.groups = groups
}

func (c *client) known() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.groups
}

// take opens connections until one is refused.
func take(s *Site, want int) (n int) {
	for s.Open(want) {
		n++
	}
	return n
}

// holding runs a test with a holder of one of three groups in virtual time; the other groups are
// quiet.
func holding(t *testing.T, test func(c *client, h *Holder, s *Site)) {
	synctest.Test(t, func(t *testing.T) {
		c := &client{groups: 3}
		c.g = NewGrantor(GrantorOptions{Leading: func() uint64 { return 1 },
			Groups: func() []uint64 { return []uint64{2, 3, 4} }})
		for g := uint64(3); g <= 4; g++ {
			ask(t, c.g, Request{Tenure: Tenure{g, 1}, Seq: 1, Reign: 1, Groups: 3})
		}
		h := NewHolder(HolderOptions{
			Group: 2, Epoch: 1, Ask: c.ask, Groups: c.known, Grantor: func() uint64 { return 1 },
		})
		s := h.Site("a", Limit{Connections: 24, Rate: 100}, nil)
		h.Start(c)
		defer h.Close()
		test(c, h, s)
	})
}

// The life of a share: settling, asked for, renewed, given back.
func TestHolder(t *testing.T) {
	holding(t, func(c *client, h *Holder, s *Site) {
		time.Sleep(10 * time.Millisecond)
		if s.Allowed() != 0 || s.Open(1) {
			t.Error("a connection is allowed before the owner before has closed its own")
		}
		time.Sleep(DefaultLinger + lookAgain)
		if s.Allowed() != 2 || !s.Open(20) || !s.Open(20) || s.Open(20) {
			t.Errorf("%d connections reserved, want 2", s.Allowed())
		}
		c.need(20, 1000)
		time.Sleep(time.Second)
		if s.Allowed() != 20 {
			t.Errorf("%d connections allowed, want the 20 that were asked for", s.Allowed())
		}
		for range 18 {
			if !s.Open(20) {
				t.Error("refused")
			}
		}
		if w := s.Wait(); w != 0 {
			t.Errorf("the first transaction has to wait %v", w)
		}
		time.Sleep(time.Minute)
		if n := c.count(); n < 50 || n > 80 {
			t.Errorf("%d requests in a minute with something to renew", n)
		}
		c.need(0, 0)
		for range 20 {
			s.Closed()
		}
		time.Sleep(15 * time.Second)
		last := c.last()
		n := c.count()
		time.Sleep(time.Hour)
		if len(last.Needs) != 0 || c.count() != n || s.Allowed() != 2 {
			t.Errorf("the last request is %+v, %d more in a quiet hour, %d allowed", last,
				c.count()-n, s.Allowed())
		}
	})
}

// When nobody answers, the share ends in time and what is reserved remains; requests do not pile
// up.
func TestHolderCutOff(t *testing.T) {
	holding(t, func(c *client, h *Holder, s *Site) {
		c.need(20, 1000)
		time.Sleep(DefaultLinger + lookAgain)
		take(s, 20)
		time.Sleep(time.Second)
		if s.Allowed() != 20 {
			t.Fatalf("%d allowed", s.Allowed())
		}
		c.mu.Lock()
		c.cut = true
		c.mu.Unlock()
		n := c.count()
		time.Sleep(DefaultLease*4/5 - askAgain - askGap)
		if s.Allowed() != 20 {
			t.Errorf("%d allowed while the lease lasts", s.Allowed())
		}
		time.Sleep(askAgain + askGap)
		if s.Allowed() != 2 || c.told() != 2 {
			t.Errorf("%d allowed after the lease, told %d", s.Allowed(), c.told())
		}
		h.mu.Lock()
		if s.bucket.rate > 5 {
			t.Errorf("rate %v after the lease", s.bucket.rate)
		}
		h.mu.Unlock()
		time.Sleep(time.Minute)
		if n = c.count() - n; n > 60 {
			t.Errorf("%d requests in 70 s that nobody answered", n)
		}
		c.mu.Lock()
		c.cut = false
		c.mu.Unlock()
		time.Sleep(3 * time.Second)
		if s.Allowed() != 20 {
			t.Errorf("%d allowed when asking works again", s.Allowed())
		}
	})
}

// More groups make the reserved part smaller at once; what was within it is told then.
func TestMoreGroups(t *testing.T) {
	holding(t, func(c *client, h *Holder, s *Site) {
		time.Sleep(DefaultLinger + lookAgain)
		if !s.Open(2) || !s.Open(2) {
			t.Error("refused")
		}
		c.need(2, 0)
		n := c.count()
		time.Sleep(5 * time.Second)
		if c.count() != n {
			t.Error("asked for what is reserved")
		}
		c.among(6)
		time.Sleep(2 * time.Second)
		last := c.last()
		if len(last.Needs) != 1 || last.Needs[0].Used != 1 || last.Groups != 6 {
			t.Errorf("told %+v", last)
		}
		c.among(3)
		time.Sleep(5 * time.Second)
		h.mu.Lock()
		if h.count != 6 {
			t.Errorf("counts with %d groups soon after there are fewer, want 6", h.count)
		}
		h.mu.Unlock()
	})
}

// A single group has everything and asks nobody.
func TestAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHolder(HolderOptions{
			Group: 2, Epoch: 1, Groups: func() int { return 1 },
			Grantor: func() uint64 { return 1 },
			Ask: func(context.Context, Request) (Grant, error) {
				t.Error("asked")
				return Grant{},
					nil
			},
		})
		s := h.Site("a", Limit{Connections: 5, Rate: 100}, nil)
		h.Start(&client{want: 9, waiting: 1000})
		for i := range 6 {
			if s.Open(9) != (i < 5) {
				t.Errorf("connection %d", i+1)
			}
		}
		sent := 0
		for begin := time.Now(); time.Since(
			begin) < 10*time.Second; time.Sleep(max(time.Millisecond, s.Wait())) {
			s.Take()
			sent++
		}
		if sent < 980 || sent > 1010 {
			t.Errorf("%d transactions in 10 s", sent)
		}
		h.Close()
	})
}

func (h *Holder) left() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.sites)
}

// A site that is left while connections are open is counted until they are closed.
func TestLeave(t *testing.T) {
	holding(t, func(c *client, h *Holder, s *Site) {
		c.need(6, 0)
		time.Sleep(DefaultLinger + lookAgain)
		take(s, 6)
		time.Sleep(time.Second)
		if n := take(s, 6); n != 4 {
			t.Errorf("%d more connections", n)
		}
		s.Leave()
		c.need(0, 0)
		time.Sleep(2 * time.Second)
		if last := c.last(); len(last.Needs) != 1 || last.Needs[0].Used != 4 {
			t.Errorf("told %+v", last)
		}
		for range 6 {
			s.Closed()
		}
		time.Sleep(2 * time.Second)
		if last := c.last(); len(last.Needs) != 0 || h.left() != 0 {
			t.Errorf("told %+v, %d sites", last, h.left())
		}
	})
}

// One that follows another in the same epoch is heard.
func TestSameEpoch(t *testing.T) {
	holding(t, func(c *client, h *Holder, s *Site) {
		time.Sleep(DefaultLinger + lookAgain)
		take(s, 2)
		h.Close()
		n := c.count()
		next := NewHolder(h.o)
		again := next.Site("a", Limit{Connections: 24}, nil)
		c.need(9, 0)
		next.Start(c)
		defer next.Close()
		again.Open(9)
		time.Sleep(time.Second)
		if again.Allowed() != 9 || c.count() == n {
			t.Errorf("%d allowed after %d requests", again.Allowed(), c.count()-n)
		}
	})
}

// The reserved part is used when the grantor says so, or says nothing for long; and the process
// tells which holders it has.
func TestReservedPartWaits(t *testing.T) {
	for _, silent := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			wait := true
			free := func() { mu.Lock(); defer mu.Unlock(); wait = false }
			present := &Present{}
			o := HolderOptions{
				Group: 2, Epoch: 7, Groups: func() int { return 3 },
				Grantor: func() uint64 { return 1 }, Present: present,
				Ask: func(context.Context, Request) (Grant, error) {
					mu.Lock()
					defer mu.Unlock()
					if silent {
						return Grant{}, errors.New("no route to host")
					}
					return Grant{Reign: 1, Lease: DefaultLease, Wait: wait}, nil
				},
			}
			h := NewHolder(o)
			s := h.Site("a", Limit{Connections: 24}, nil)
			h.Start(&client{})
			if all := present.Tenures(); len(all) != 1 || all[0] != (Tenure{2, 7}) {
				t.Errorf("present: %v", all)
			}
			time.Sleep(DefaultPatience - time.Second)
			if s.Allowed() != 0 {
				t.Errorf("silent %v: %d allowed while there may be another", silent, s.Allowed())
			}
			if !silent {
				free()
			}
			time.Sleep(time.Second + lookAgain)
			if s.Allowed() != 2 {
				t.Errorf("silent %v: %d allowed, want the 2 that are reserved", silent, s.Allowed())
			}
			h.Close()
			if all := present.Tenures(); len(all) != 0 {
				t.Errorf("present after the end: %v", all)
			}
		})
	}
}

// TestAnotherGrantorIsAskedSoon: that the one before did not answer keeps a holder from asking its
// successor no longer than from asking anybody.
func TestAnotherGrantorIsAskedSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var grantor atomic.Uint64
		grantor.Store(1)
		c := &client{groups: 3, cut: true}
		c.g = NewGrantor(GrantorOptions{Leading: grantor.Load,
			Groups: func() []uint64 { return []uint64{2} }})
		h := NewHolder(HolderOptions{Group: 2, Epoch: 1, Ask: c.ask, Groups: c.known,
			Grantor: grantor.Load})
		h.Start(c)
		defer h.Close()
		time.Sleep(2 * time.Second) // after 1.5 s it waits for 1.6 s
		grantor.Store(2)
		c.mu.Lock()
		c.cut = false
		c.mu.Unlock()
		time.Sleep(2 * askGap)
		if r := c.last(); r.Reign != 2 {
			t.Errorf("the latest request is %v old and was for reign %d, want 2",
				2*time.Second+2*askGap-r.Age, r.Reign)
		}
	})
}

// Of a limit that is lowered a holder keeps the same part, whatever answer to an older question
// comes then. What it had beyond that it gives up; the next answer goes by the new limit.
func TestLimitLowered(t *testing.T) {
	holding(t, func(c *client, h *Holder, s *Site) {
		c.need(30, 100)
		take(s, 30)
		s.Wait()
		time.Sleep(5 * time.Second)
		had := s.Allowed()
		if take(s, 30); had < 12 {
			t.Fatalf("%d connections at first", had)
		}
		h.mu.Lock()
		rate := s.ownRate + s.heldRate
		h.mu.Unlock()
		h.Site("a", Limit{Connections: 8, Rate: 10}, nil)
		h.mu.Lock()
		if now := s.ownRate + s.heldRate; s.allowed(h.o.Now()) > had/3+1 || now > rate/9 {
			t.Errorf("%d connections and %v/s right after, had %d and %v/s",
				s.allowed(h.o.Now()), now, had, rate)
		}
		h.mu.Unlock()
		time.Sleep(5 * time.Second)
		if n := c.last().Needs[0].Limit; n != (Limit{Connections: 8, Rate: 10}) {
			t.Errorf("asked under %+v", n)
		}
		if s.Allowed() > 8 || s.Open(9) {
			t.Errorf("%d connections are allowed of 8, and one more was opened", s.Allowed())
		}
		s.Adopt()
		c.need(60, 100)
		h.Site("a", Limit{Connections: 100, Rate: 10}, nil)
		if time.Sleep(5 * time.Second); s.Allowed() < 40 {
			t.Errorf("%d connections of 100", s.Allowed())
		}
	})
}
