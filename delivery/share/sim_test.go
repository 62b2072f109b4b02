package share

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// sim is a cluster in made-up time: holders and grantors as they are, a network that delays, loses
// and brings things late, owners and control leaders that die, are cut off or are deposed, groups
// that come and go, and users who take all that they are allowed. After each step the connections
// and transactions of all owners together are checked against the limits.
type sim struct {
	t     testing.TB
	seed  uint64
	rand  *rand.Rand
	now   time.Time
	nodes []*simNode
	lead  int    // the control leader's node; -1: none
	term  uint64 // of the control group
	owner map[uint64]*simOwner
	old   []*simOwner // deposed, with connections left
	epoch uint64
	post  []simPost
	limit map[string]Limit
	times map[string][]time.Time // of transactions
	loss  float64
	churn bool // connections are closed and opened all the time
	steps int
	asked int       // requests that were sent
	polls time.Time // when the grantor last asked for deposed holders
}

type simNode struct {
	grantor *Grantor
	groups  []uint64  // as it knows
	cut     bool      // from all the others
	wakes   time.Time // it is stopped until then: it does nothing, and what it has stays open
	heard   time.Time // when it last ran and was not cut off
}

// simOwner is a group's owner with its users.
type simOwner struct {
	s       *sim
	h       *Holder
	node    int
	group   uint64
	deposed bool
	end     time.Time // of its last connection, when deposed
	users   []*simUser
}

type simUser struct {
	site    *Site
	name    string
	demand  int // connections that it could use
	waiting int // transactions
	ends    []time.Time
}

type simPost struct {
	at time.Time
	do func()
}

func newSim(t testing.TB, seed uint64, nodes int) *sim {
	s := &sim{
		t: t, seed: seed, rand: rand.New(rand.NewPCG(seed, 7)), now: time.Unix(1_700_000_000, 0),
		owner: map[uint64]*simOwner{},
		term:  1, limit: map[string]Limit{}, times: map[string][]time.Time{},
	}
	for i := range nodes {
		n := &simNode{}
		n.grantor = NewGrantor(GrantorOptions{
			Leading: func() uint64 {
				if s.lead == i {
					return s.term
				}
				return 0
			},
			Groups: func() []uint64 { return n.groups },
			Heard:  func() map[uint16]time.Time { return s.heard(i) },
			Now:    func() time.Time { return s.now },
			Members: func() (all []uint16) {
				for i := range nodes {
					all = append(all, uint16(i+1))
				}
				return all
			},
		})
		s.nodes = append(s.nodes, n)
	}
	var groups []uint64
	for i := range nodes {
		groups = append(groups, uint64(i+2))
	}
	for _, n := range s.nodes {
		n.groups = groups
	}
	return s
}

// own makes a node the owner of a group; the one before starts nothing any more.
func (s *sim) own(group uint64, node int, killed bool) *simOwner {
	if o := s.owner[group]; o != nil {
		s.depose(o, killed)
	}
	s.epoch++
	o := &simOwner{s: s, node: node, group: group}
	n := s.nodes[node]
	o.h = NewHolder(HolderOptions{
		Group: group, Epoch: s.epoch, Now: func() time.Time { return s.now },
		Groups: func() int { return len(n.groups) }, Grantor: func() uint64 { return 0 },
		Ask: func(context.Context, Request) (Grant, error) {
			return Grant{}, errors.New("not here")
		},
	})
	for name, l := range s.limit {
		o.users = append(o.users, &simUser{name: name, site: o.h.Site(name, l, nil)})
	}
	slices.SortFunc(o.users, func(a, b *simUser) int {
		return slices.Compare([]byte(a.name), []byte(b.name))
	})
	s.owner[group] = o
	return o
}

func (s *sim) depose(o *simOwner, killed bool) {
	from := s.now
	if n := s.nodes[o.node]; n.wakes.After(from) {
		from = n.wakes
	}
	o.deposed, o.end = true, from.Add(time.Duration(s.rand.Int64N(int64(DefaultLinger))))
	if killed {
		o.end = s.now
	}
	delete(s.owner, o.group)
	s.old = append(s.old, o)
}

// reaches reports whether two nodes hear each other.
func (s *sim) reaches(a, b int) bool { return a == b || !s.nodes[a].cut && !s.nodes[b].cut }

// delay is how long a message takes; mostly little.
func (s *sim) delay() time.Duration {
	switch s.rand.IntN(20) {
	case 0:
		return time.Duration(s.rand.IntN(3000)) * time.Millisecond
	case 1:
		return time.Duration(s.rand.IntN(20)) * time.Second
	}
	return time.Duration(s.rand.IntN(5)) * time.Millisecond
}

func (s *sim) send(d time.Duration, do func()) {
	s.post = append(s.post, simPost{s.now.Add(d), do})
}

// arrive has a node take in what comes to it after some time, or when it wakes.
func (s *sim) arrive(d time.Duration, node int, do func()) {
	s.send(d, func() {
		if s.stopped(node) {
			s.arrive(s.nodes[node].wakes.Sub(s.now), node, do)
			return
		}
		do()
	})
}

func (s *sim) stopped(node int) bool { return s.nodes[node].wakes.After(s.now) }

// heard are the nodes but one, and when they last ran.
func (s *sim) heard(but int) map[uint16]time.Time {
	all := map[uint16]time.Time{}
	for i, n := range s.nodes {
		if i != but {
			all[uint16(i+1)] = n.heard
		}
	}
	return all
}

// poll has the grantor ask what deposed holders have open.
func (s *sim) poll() {
	if s.lead < 0 || s.stopped(s.lead) || s.now.Sub(s.polls) < pollAgain {
		return
	}
	s.polls = s.now
	from, asked := s.lead, s.now
	g := s.nodes[from].grantor
	for _, d := range g.Doubts() {
		node := int(d.Node) - 1
		if !s.reaches(from, node) {
			continue
		}
		s.arrive(s.delay(), node, func() {
			open := s.open(node)
			if s.reaches(node, from) {
				s.arrive(s.delay(), from, func() { g.Note(d.Node, asked, open) })
			}
		})
	}
}

const pollAgain = 250 * time.Millisecond

// open are a node's holders (Present.Tenures).
func (s *sim) open(node int) (all []Tenure) {
	for _, o := range append(slices.Clone(s.old), s.each()...) {
		if o.node == node && !(o.deposed && !s.now.Before(o.end)) {
			all = append(all, o.h.tenure())
		}
	}
	return all
}

// ask sends an owner's request to whom it takes for the grantor, and its answer or nothing back.
func (s *sim) ask(o *simOwner, r Request) {
	s.asked++
	answered := false
	finish := func(do func()) {
		if !answered {
			answered = true
			do()
		}
	}
	s.send(askWait, func() { finish(func() { o.h.unanswered(errors.New("no answer"), s.now) }) })
	to := s.lead
	if to < 0 {
		return
	}
	lost := func() bool {
		return to != o.node && (!s.reaches(o.node, to) || s.rand.Float64() < s.loss)
	}
	if lost() {
		return
	}
	there, back := s.delay(), s.delay()
	if to == o.node {
		there, back = 0, 0
	}
	r.Node = uint16(o.node + 1)
	s.arrive(there, to, func() {
		g, err := s.nodes[to].grantor.Ask(context.Background(), r)
		if lost() {
			return
		}
		s.arrive(back, o.node, func() {
			finish(func() {
				if err != nil {
					o.h.unanswered(err, s.now)
				} else {
					o.h.answered(g, s.now)
				}
			})
		})
	})
}

// pass lets a little time pass and everybody act.
func (s *sim) pass() {
	s.now = s.now.Add(time.Duration(1+s.rand.IntN(20)) * time.Millisecond)
	for i := 0; i < len(s.post); i++ {
		if p := s.post[i]; !p.at.After(s.now) {
			s.post = slices.Delete(s.post, i, i+1)
			i--
			p.do()
		}
	}
	for i, n := range s.nodes {
		if !n.cut && !s.stopped(i) {
			n.heard = s.now
		}
	}
	s.poll()
	for _, group := range s.groups() {
		o := s.owner[group]
		for _, u := range o.users {
			o.act(u)
		}
		o.h.look(len(s.nodes[o.node].groups), s.seen(o.node), s.now)
		for _, u := range o.users {
			u.site.Want(u.demand, u.waiting)
		}
		if r, ok := o.h.request(s.now); ok {
			s.ask(o, r)
		}
	}
	s.old = slices.DeleteFunc(s.old, func(o *simOwner) bool { return !s.now.Before(o.end) })
	s.check()
}

func (s *sim) groups() (all []uint64) {
	for g := range s.owner {
		all = append(all, g)
	}
	slices.Sort(all)
	return all
}

// seen is the grantor as a node knows it.
func (s *sim) seen(node int) uint64 {
	if s.lead >= 0 && s.reaches(node, s.lead) {
		return s.term
	}
	return 0
}

// act takes all that is allowed.
func (o *simOwner) act(u *simUser) {
	s := o.s
	u.ends = slices.DeleteFunc(u.ends, func(end time.Time) bool {
		if end.After(s.now) || len(u.ends) <= min(u.demand, u.site.Allowed()) &&
			!(s.churn && s.rand.IntN(50) == 0) {
			return false
		}
		u.site.Closed()
		return true
	})
	for !(s.churn && s.rand.IntN(10) > 0) && len(u.ends) < u.demand && u.site.Open(u.demand) {
		d := time.Duration(s.rand.IntN(500)) * time.Millisecond
		if s.rand.IntN(50) == 0 {
			d = time.Duration(s.rand.IntN(60)) * time.Second
		}
		u.ends = append(u.ends, s.now.Add(d))
	}
	for u.waiting > 0 && len(u.ends) > 0 && u.site.Wait() == 0 {
		u.site.Take()
		u.waiting--
		s.times[u.name] = append(s.times[u.name], s.now)
	}
}

// burst is what may come beyond the rate, in any time: a twentieth of a second's worth, and one of
// each owner.
func (s *sim) burst(rate float64) float64 { return rate*burstSeconds + float64(len(s.owner)+1) }

func (s *sim) check() {
	s.steps++
	for name, l := range s.limit {
		open := 0
		for _, o := range append(slices.Clone(s.old), s.each()...) {
			for _, u := range o.users {
				if u.name == name {
					open += len(u.ends)
				}
			}
		}
		if open > l.Connections {
			s.fail("%s: %d connections, limit %d", name, open, l.Connections)
		}
		times := s.times[name]
		if l.Rate == 0 || s.steps%10 > 0 {
			continue
		}
		for _, window := range []time.Duration{time.Second, 5 * time.Second} {
			n := 0
			for i := len(times) - 1; i >= 0 && s.now.Sub(times[i]) < window; i-- {
				n++
			}
			if float64(n) > l.Rate*window.Seconds()+s.burst(l.Rate) {
				s.fail("%s: %d transactions in %v, rate %v", name, n, window, l.Rate)
			}
		}
		if len(times) > 20_000 {
			s.times[name] = slices.Delete(times, 0, 10_000)
		}
	}
}

func (s *sim) each() (all []*simOwner) {
	for _, g := range s.groups() {
		all = append(all, s.owner[g])
	}
	return all
}

func (s *sim) fail(format string, args ...any) {
	s.t.Helper()
	for _, o := range append(slices.Clone(s.old), s.each()...) {
		for _, u := range o.users {
			s.t.Logf(
				"group %d epoch %d at node %d, deposed %v: %s: %d open, reserve %d, held %d, "+
					"rate %.1f+%.1f, wants %d, until %v, ready %v, reign %d, began %v ago",
				o.group, o.h.o.Epoch, o.node, o.deposed, u.name, len(u.ends), u.site.reserve,
				u.site.held, u.site.ownRate, u.site.heldRate, u.demand,
				o.h.until.Sub(s.now), o.h.ready, o.h.reign, s.now.Sub(o.h.began))
		}
	}
	for i, n := range s.nodes {
		s.t.Logf("node %d: cut %v, heard of %v ago, stopped for %v yet", i, n.cut,
			s.now.Sub(n.heard), max(0, n.wakes.Sub(s.now)))
	}
	s.t.Logf("leader %d, term %d", s.lead, s.term)
	s.t.Fatalf("seed %d, %v: %s", s.seed, s.now.Sub(time.Unix(1_700_000_000, 0)),
		fmt.Sprintf(format, args...))
}
