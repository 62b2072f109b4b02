package share

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// disturb makes one random thing happen.
func (s *sim) disturb() {
	node := s.rand.IntN(len(s.nodes))
	switch s.rand.IntN(9) {
	case 0: // the control group has another leader, or the same in a new term
		s.elect()
	case 1, 2: // an owner dies, or is deposed; another takes over at once or later
		s.takeOver(node, s.rand.IntN(2) == 0)
	case 3: // a node is cut off from all others; its owner stays one for now
		s.nodes[node].cut = !s.nodes[node].cut
	case 4:
		s.loss = s.rand.Float64() * 0.5 * float64(s.rand.IntN(2))
	case 5:
		s.regroup()
	case 6:
		s.stop(node, time.Duration(s.rand.Int64N(int64(DefaultPatience))))
	default:
		for _, o := range s.each() {
			for _, u := range o.users {
				if s.rand.IntN(3) == 0 {
					u.demand = s.rand.IntN(2*u.site.limit.Connections+1) * min(1, s.rand.IntN(4))
					u.waiting = s.rand.IntN(100_000) * min(1, s.rand.IntN(4))
				}
			}
		}
	}
}

// elect gives the control group no leader for some time and then one.
func (s *sim) elect() {
	s.lead = -1
	s.send(time.Duration(s.rand.IntN(5000))*time.Millisecond, func() {
		s.term++
		s.lead = s.running()
	})
}

// running picks a node that is not stopped.
func (s *sim) running() int {
	for {
		if i := s.rand.IntN(len(s.nodes)); !s.stopped(i) {
			return i
		}
	}
}

// stop stops a node for some time, if another one runs: what it owns and leads goes to others, what
// it has open stays so.
func (s *sim) stop(node int, d time.Duration) {
	others := 0
	for i := range s.nodes {
		if i != node && !s.stopped(i) {
			others++
		}
	}
	if others == 0 || s.stopped(node) {
		return
	}
	n := s.nodes[node]
	// one that is cut off for long is no owner any more
	n.wakes, n.cut, n.heard = s.now.Add(d), false, s.now
	s.takeOver(node, false)
	if s.lead == node {
		s.elect()
	}
}

// takeOver ends a node's ownerships; others take over within seconds. If the node leads the control
// group, that goes, too.
func (s *sim) takeOver(node int, killed bool) {
	for _, o := range s.each() {
		if o.node != node {
			continue
		}
		s.depose(o, killed)
		s.send(time.Duration(s.rand.IntN(4000))*time.Millisecond, func() {
			if s.exists(o.group) && s.owner[o.group] == nil {
				s.own(o.group, s.running(), false)
			}
		})
	}
	if killed && s.lead == node {
		s.elect()
	}
}

func (s *sim) exists(group uint64) bool {
	for _, g := range s.nodes[0].groups {
		if g == group {
			return true
		}
	}
	return false
}

// regroup adds a group, or retires one. Nodes learn of it one after the other; the first owner
// comes, and the last goes, when the control group has decided.
func (s *sim) regroup() {
	groups := append([]uint64(nil), s.nodes[0].groups...)
	if len(groups) > 2 && s.rand.IntN(2) == 0 {
		gone := groups[len(groups)-1]
		groups = groups[:len(groups)-1]
		if o := s.owner[gone]; o != nil {
			s.depose(o, true) // it was drained: it has nothing open
		}
	} else if len(groups) < 6 {
		id := groups[len(groups)-1] + 1 + uint64(s.rand.IntN(3))*100
		groups = append(groups, id)
		s.send(time.Second, func() {
			if s.exists(id) && s.owner[id] == nil {
				s.own(id, s.running(), false)
			}
		})
	}
	for i, n := range s.nodes {
		if i == 0 || i == s.lead {
			n.groups = groups
			continue
		}
		s.send(time.Duration(s.rand.IntN(1000))*time.Millisecond,
			func() { n.groups = s.nodes[0].groups })
	}
}

// TestNeverAbove is the promise: whatever happens, all owners together stay within the limits.
func TestNeverAbove(t *testing.T) {
	for seed := range simSeeds() {
		s := newSim(t, seed, 2+int(seed%4))
		s.churn = true
		s.limit["a"] = Limit{Connections: 6, Rate: 50}
		s.limit["b"] = Limit{Connections: 20}
		s.limit["c"] = Limit{Connections: 1, Rate: 2}
		s.limit["d"] = Limit{Connections: 60, Rate: 300}
		for i, g := range s.nodes[0].groups {
			s.own(g, i, false)
		}
		until := s.now.Add(5 * time.Minute)
		for calm := s.now; s.now.Before(until); s.pass() {
			if s.now.After(calm) {
				s.disturb()
				calm = s.now.Add(time.Duration(s.rand.IntN(4000)) * time.Millisecond)
			}
		}
	}
}

// simSeeds is how many runs of five minutes are made; POSTROAD_LONG makes more.
func simSeeds() uint64 {
	if os.Getenv("POSTROAD_LONG") != "" {
		return 200
	}
	return 20
}

// TestUse shows that the limits are used well: by one who is busy alone, by all together, and by
// those who are left.
func TestUse(t *testing.T) {
	const connections, rate = 12, 50
	for _, c := range []struct {
		nodes, busy int
		conns       int     // in all, from then on
		rate        float64 // per second, on average
	}{
		{1, 1, 12, 49.5}, {2, 1, 11, 47}, {3, 1, 10, 44.5}, {3, 2, 11, 47}, {3, 3, 12, 49.5},
		{5, 5, 12, 49.5}, {30, 30, 11, 38},
	} {
		t.Run(fmt.Sprintf("%d of %d", c.busy, c.nodes), func(t *testing.T) {
			s := newSim(t, 1, c.nodes)
			s.limit["a"] = Limit{Connections: connections, Rate: rate}
			for i, g := range s.nodes[0].groups {
				o := s.own(g, i, false)
				if i < c.busy {
					o.users[0].demand, o.users[0].waiting = 100, 1<<30
				}
			}
			s.run(10 * time.Second)
			clear(s.times)
			from := s.now
			s.run(2 * time.Minute)
			got := float64(len(s.times["a"])) / s.now.Sub(from).Seconds()
			open := 0
			for _, o := range s.each() {
				open += len(o.users[0].ends)
			}
			if got < c.rate || open < c.conns {
				t.Errorf("%.1f/s, want %.1f; %d connections, want %d", got, c.rate, open, c.conns)
			}
		})
	}
}

func (s *sim) run(d time.Duration) {
	for until := s.now.Add(d); s.now.Before(until); {
		s.pass()
	}
}
