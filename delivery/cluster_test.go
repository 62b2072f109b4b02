package delivery

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery/share"
	"github.com/postroad/postroad/delivery/smtpclient"
)

// cluster is three nodes' delivery in virtual time: each has the world of its home group, they
// share the internet and the limits.
type cluster struct {
	t      *testing.T
	net    *internet
	nodes  [3]*node
	lead   atomic.Int64  // who leads the control group; -1: nobody
	term   atomic.Uint64 // of the control group
	epoch  uint64
	asked  atomic.Int64 // requests
	groups []uint64
}

// node is a machine. Its worlds are those of the groups that it owns.
type node struct {
	c       *cluster
	id      int
	cut     atomic.Bool // from the other nodes, not from the internet
	grantor *share.Grantor
}

// owned is a group with its owner.
type owned struct {
	*world
	c     *cluster
	group uint64
	at    *node
	owner *atomic.Bool // whether the lease of the present owner is good
	mu    sync.Mutex
	dead  *atomic.Bool // the process of the present owner was killed
	conns map[*fakeConn]struct{}
}

func newCluster(t *testing.T) *cluster {
	c := &cluster{t: t, net: &internet{hosts: map[string]*remote{}, mx: map[string][]string{}},
		groups: []uint64{2, 3, 4}}
	c.term.Store(1)
	for i := range c.nodes {
		n := &node{c: c, id: i}
		n.grantor = share.NewGrantor(share.GrantorOptions{
			Leading: func() uint64 {
				if c.lead.Load() != int64(i) {
					return 0
				}
				return c.term.Load()
			},
			Groups: func() []uint64 { return c.groups },
		})
		c.nodes[i] = n
	}
	return c
}

// ask takes a request over the network between the nodes.
func (n *node) ask(ctx context.Context, r share.Request) (share.Grant, error) {
	n.c.asked.Add(1)
	lead := n.c.lead.Load()
	if lead < 0 {
		return share.Grant{}, share.ErrNotGrantor
	}
	to := n.c.nodes[lead]
	if lost := func() bool { return to != n && (to.cut.Load() || n.cut.Load()) }; lost() {
		<-ctx.Done()
		return share.Grant{}, ctx.Err()
	}
	time.Sleep(time.Millisecond)
	return to.grantor.Ask(ctx, r)
}

// found makes a group with an owner.
func (c *cluster) found(i int, shaping map[string]Shaping) *owned {
	o := &owned{c: c, group: c.groups[i], at: c.nodes[i]}
	o.world = newWorld(c.t, func(w *world) {
		w.net = c.net
		w.o.Shaping = shaping
		o.world, w.dialer = w, o.mortals
		o.own(c.nodes[i])
	})
	return o
}

// own prepares the options of the next owner.
func (o *owned) own(n *node) {
	o.c.epoch++
	owner, dead := &atomic.Bool{}, &atomic.Bool{}
	owner.Store(true)
	o.at, o.owner, o.dead, o.conns = n, owner, dead, map[*fakeConn]struct{}{}
	o.o.Owner = owner.Load
	o.o.Shares = share.NewHolder(share.HolderOptions{
		Group: o.group, Epoch: o.c.epoch, Ask: n.ask,
		Groups:  func() int { return len(o.c.groups) },
		Grantor: func() uint64 { return o.c.term.Load() << 2 * uint64(o.c.lead.Load()+1) },
	})
}

// mortals gives the present owner connections that end when its process is killed.
func (o *owned) mortals() Dialer {
	conns, dead := o.conns, o.dead
	return func(ctx context.Context, opt *smtpclient.Options) (Conn, *smtpclient.Error) {
		if dead.Load() {
			return nil, down()
		}
		conn, err := o.net.dial(ctx, opt)
		if err != nil {
			return nil, err
		}
		f := conn.(*fakeConn)
		o.mu.Lock()
		defer o.mu.Unlock()
		conns[f] = struct{}{}
		return &mortal{f, dead}, nil
	}
}

// mortal is a connection of a process that may be killed.
type mortal struct {
	*fakeConn
	dead *atomic.Bool
}

func (m *mortal) Deliver(tx *smtpclient.Transaction) smtpclient.Result {
	if m.dead.Load() {
		return *lost(tx, 451, "4.4.2", false)
	}
	return m.fakeConn.Deliver(tx)
}

// kill ends the owner's process: its connections are gone at once.
func (o *owned) kill() {
	o.owner.Store(false)
	o.dead.Store(true)
	o.mu.Lock()
	for f := range o.conns {
		f.Quit()
	}
	o.mu.Unlock()
	o.end()
}

// end is what a deposed owner does.
func (o *owned) end() {
	o.sched.Abandon()
	o.queue.Abandon()
	o.reporter.Stop()
}

// move gives the group another owner.
func (o *owned) move(n *node) {
	o.own(n)
	o.boot()
}

// inCluster runs a test in virtual time.
func inCluster(t *testing.T, shaping map[string]Shaping, test func(c *cluster, groups []*owned)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		var groups []*owned
		for i := range c.nodes {
			groups = append(groups, c.found(i, shaping))
		}
		test(c, groups)
		for _, o := range groups {
			o.halt()
		}
	})
}

// load is more than the site takes, at all nodes.
func load(groups []*owned, n int) {
	for _, o := range groups {
		o.flood(n, fmt.Sprint("g", o.group), "", "a.test")
	}
}

// TestClusterRate is the limit as it is promised: six connections and fifty a second for one site
// and three nodes with far more to send; while all is well, while a node is killed that leads the
// control group, and while one is cut off.
func TestClusterRate(t *testing.T) {
	shaping := map[string]Shaping{"default": {},
		"a.test": {Connections: 6, Rate: Rate{Count: 50, Per: time.Second}}}
	inCluster(t, shaping, func(c *cluster, groups []*owned) {
		r := c.net.at("a.test")
		r.latency = 100 * time.Millisecond // all six are needed
		load(groups, 6000)
		c.phase("all is well", r, time.Minute, 45)

		victim := groups[0]
		go func() {
			time.Sleep(2 * time.Second) // the others elect
			c.term.Add(1)
			c.lead.Store(1)
		}()
		c.lead.Store(-1)
		go func() {
			victim.kill()
			time.Sleep(2 * time.Second)
			victim.move(c.nodes[1])
		}()
		c.phase("a node was killed", r, 30*time.Second, 40)
		c.phase("after that", r, time.Minute, 45)

		exile := groups[2]
		c.nodes[2].cut.Store(true)
		go func() {
			time.Sleep(time.Second)
			exile.owner.Store(false) // its lease has ended
			time.Sleep(500 * time.Millisecond)
			exile.end()
			exile.move(c.nodes[1])
		}()
		c.phase("a node is cut off", r, 30*time.Second, 40)
		c.nodes[2].cut.Store(false)
		c.phase("all is well again", r, time.Minute, 45)

		c.lead.Store(-1) // nobody grants any more: what is reserved goes on
		time.Sleep(10 * time.Second)
		c.phase("no control group", r, time.Minute, 0)
	})
}

// phase lets time pass and checks what the site has seen in it.
func (c *cluster) phase(name string, r *remote, d time.Duration, least float64) {
	c.t.Helper()
	r.set(func(r *remote) { r.times = nil })
	time.Sleep(d)
	times := r.transactions()
	most, from := 0, 0
	for i := range times {
		for times[i].Sub(times[from]) >= time.Second {
			from++
		}
		most = max(most, i-from+1)
	}
	average := float64(len(times)) / d.Seconds()
	c.t.Logf("%s: %.1f/s, at most %d in a second, at most %d connections, %d requests so far", name,
		average, most, r.mostOpen(), c.asked.Load())
	if average < least || r.mostOpen() > 6 || most > 50+6 {
		c.t.Errorf(
			"%s: want at least %v/s, at most 6 connections, and 50 in a second and a burst of "+
				"50/20 and 3", name, least)
	}
}

// TestQuietSites: what stays within the reserved parts costs no request.
func TestQuietSites(t *testing.T) {
	inCluster(t, nil, func(c *cluster, groups []*owned) {
		time.Sleep(20 * time.Second)
		before := c.asked.Load()
		// A holder that has just begun asks every 0.1 s while the connections of the one before may
		// be open: for a second here, where no node is asked whether they are.
		if before == 0 || before > 3*12 {
			t.Errorf("%d requests for a start", before)
		}
		const sites = 10_000
		for _, i := range rand.Perm(sites) {
			groups[i%3].submit(envelopeOf("s@x.test", fmt.Sprintf("r@d%d.test", i)))
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		if n := c.asked.Load() - before; n > 0 {
			t.Errorf("%d requests for %d quiet sites", n, sites)
		}
		for _, o := range groups {
			if st := o.sched.Stats(); st.Relayed < sites/3 {
				t.Errorf("%d delivered", st.Relayed)
			}
		}
	})
}

// A busy node takes what the others do not use, and gives it back when they do.
func TestSharesFollowDemand(t *testing.T) {
	shaping := map[string]Shaping{"default": {}, "a.test": {Connections: 12}}
	inCluster(t, shaping, func(c *cluster, groups []*owned) {
		r := c.net.at("a.test")
		r.latency = 20 * time.Millisecond
		groups[0].flood(4000, "one", "", "a.test")
		time.Sleep(5 * time.Second)
		// one is reserved for each of the others
		if n := groups[0].sched.Stats().Connections; n != 10 {
			t.Errorf("alone: %d connections, want 10", n)
		}
		groups[1].flood(4000, "two", "", "a.test")
		groups[0].flood(4000, "one", "", "a.test")
		time.Sleep(4 * time.Second)
		a, b := groups[0].sched.Stats().Connections, groups[1].sched.Stats().Connections
		if a+b != 11 || a < 5 || b < 5 {
			t.Errorf("two: %d and %d connections, want half of 11 each", a, b)
		}
		time.Sleep(2 * time.Minute)
		if n := len(r.received()); n != 12_000 || r.mostOpen() > 12 {
			t.Errorf("%d delivered over at most %d connections", n, r.mostOpen())
		}
	})
}
