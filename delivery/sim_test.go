package delivery

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue"
)

// sim drives the core alone, event by event in an order that a seed decides: what is on disk can be
// read before and after the core hears of it, reads take time, hosts die and come back, limits are
// small. Whatever happens, each recipient is attempted until it is delivered, and is never handed
// out twice at a time, after that, or while it is suspended. An operator holds, releases, flushes
// and removes at any moment: what is held or removed is not handed out when the core has heard of
// it.
type sim struct {
	t    testing.TB
	seed uint64
	rand *rand.Rand
	core *core
	now  time.Time
	ids  *mail.IDs

	disk   map[string][]queue.Item // rows in order, by domain
	untold []queue.Item            // on disk, the core has not heard of them
	rows   map[attemptKey]row      // where on disk each recipient is scheduled
	// changed by an operator's verb, the core has not heard of it
	untoldIDs  []mail.ID
	lastVerb   time.Time // the time of the latest verb's command
	pending    []func()  // answers under way, in any order
	conns      []*conn   // being opened or busy
	state      map[attemptKey]simState
	all        []*queue.Message
	begun      map[*transaction]bool
	trying     map[attemptKey]bool // handed out, and no outcome is on disk
	held       map[attemptKey]bool // by an operator
	removed    map[attemptKey]bool // by an operator
	kept       map[attemptKey]bool // held or removed, and the core has heard of it
	delivered  int                 // or removed
	sites      int
	dead       map[string]bool
	suspension queue.Suspensions
	verbs      bool // operators hold, release, flush and remove
	reloads    bool // operators change the configuration
}

type simState uint8

const (
	simQueued simState = iota
	simDone
)

func newSim(t testing.TB, seed uint64) *sim {
	s := &sim{
		t: t, seed: seed, rand: rand.New(rand.NewPCG(seed, 1)),
		now:  time.UnixMilli(1_700_000_000_000),
		disk: map[string][]queue.Item{}, state: map[attemptKey]simState{}, dead: map[string]bool{},
		begun: map[*transaction]bool{}, rows: map[attemptKey]row{}, held: map[attemptKey]bool{},
		trying: map[attemptKey]bool{}, removed: map[attemptKey]bool{}, kept: map[attemptKey]bool{},
	}
	s.ids = mail.NewIDs(1, s.now)
	s.sites = 1 + s.rand.IntN(5)
	o := &Options{
		Seed: seed, Window: 4 + s.rand.IntN(20), WindowTotal: 10 + s.rand.IntN(40),
		Destinations: 3 + s.rand.IntN(20),
		Unsettled:    5 + s.rand.IntN(30), Settings: s.settings(),
	}
	if s.rand.IntN(2) == 0 { // some domains are local, and one of them not always
		o.Local = func(d string) bool {
			return d == "d1" || d == "d2" || d == "d3" && s.now.UnixMilli()/(1<<14)%2 == 0
		}
	}
	o.setDefaults()
	set, err := o.compile()
	if err != nil {
		t.Fatal(err)
	}
	set.way = newWay(t.Context())
	s.core = newCore(o, set)
	s.core.timers.Set(&s.core.scan.timer, s.now)
	return s
}

func (s *sim) do(a action) {
	c := s.core
	switch a.kind {
	case actOpen:
		s.conns = append(s.conns, a.conn)
	case actLookup:
		s.pending = append(s.pending, func() { s.lookedUp(a.dest) })
	case actScan:
		found := s.domains(a.from, a.max)
		s.pending = append(s.pending, func() { c.scanned(found, nil, s.now) })
	case actLoad:
		// The read happens now or later, the answer comes later still.
		var r loadResult
		read := func() { r = s.load(&a) }
		if s.rand.IntN(2) == 0 {
			read()
			read = nil
		}
		s.pending = append(s.pending, func() {
			if read == nil {
				c.loaded(a.dest, r, s.now)
				return
			}
			read()
			s.pending = append(s.pending, func() { c.loaded(a.dest, r, s.now) })
		})
	}
}

// accept puts a message on disk; the core hears of it sooner or later.
func (s *sim) accept() {
	m := &queue.Message{ID: s.ids.Next(s.now), Envelope: &mail.Envelope{Sender: "s@x"},
		Arrived: s.now}
	m.Arrived = m.ID.Time()
	s.tellAll()
	s.all = append(s.all, m)
	m.Envelope.Origin.Campaign = fmt.Sprint("c", s.rand.IntN(3))
	m.Envelope.Origin.Tenant = fmt.Sprint("t", s.rand.IntN(3))
	byDomain := map[string][]uint32{}
	for i := range 1 + s.rand.IntN(4)*s.rand.IntN(2) {
		d := fmt.Sprint("d", s.rand.IntN(30))
		local := []string{"", "vip"}[s.rand.IntN(8)/7]
		m.Envelope.Recipients = append(m.Envelope.Recipients,
			mail.Recipient{Address: local + fmt.Sprint(i, "@", d), Domain: d})
		byDomain[d] = append(byDomain[d], uint32(i))
		s.state[attemptKey{m.ID, uint32(i)}] = simQueued
	}
	for _, d := range slices.Sorted(maps.Keys(byDomain)) {
		to := byDomain[d]
		it := queue.Item{Message: m, Domain: d, Due: m.Arrived, Recipients: to}
		s.write(it)
		it.Recipients = slices.Clone(to)
		s.untold = append(s.untold, it)
	}
}

// step makes one random event happen; false: nothing can happen but the passing of time.
func (s *sim) step() bool {
	var ready []*conn
	for _, cn := range s.conns {
		if cn.state != connIdle {
			ready = append(ready, cn)
		}
	}
	n := len(s.pending) + len(ready)
	if len(s.untold) > 0 || len(s.untoldIDs) > 0 {
		n++
	}
	if n == 0 {
		return false
	}
	switch i := s.rand.IntN(n); {
	case i < len(s.pending):
		f := s.pending[i]
		s.pending = slices.Delete(s.pending, i, i+1)
		f()
	case i < len(s.pending)+len(ready):
		s.connStep(ready[i-len(s.pending)])
	case len(s.untoldIDs) > 0:
		s.tellAll()
	default:
		k := 1 + s.rand.IntN(len(s.untold))
		s.core.accepted(s.untold[:k], s.now)
		s.untold = s.untold[k:]
	}
	s.event()
	return true
}

// event ends an event as the shell does.
func (s *sim) event() {
	s.core.dispatch(s.now)
	actions, refusals := s.core.actions, s.core.refusals
	s.core.actions, s.core.refusals = nil, nil
	for i := range actions {
		s.do(actions[i])
	}
	for _, t := range refusals {
		s.begin(t)
		s.outcomes(t, nil)
		s.settle(t)
	}
	for _, cn := range s.conns {
		if cn.state == connBusy && !s.begun[cn.tx] {
			s.begin(cn.tx)
		}
	}
}

// begin checks that a transaction takes only what is free to be tried.
func (s *sim) begin(t *transaction) {
	s.begun[t] = true
	s.mustBeFree(t)
	s.mustGoBySettings(t)
	for _, n := range t.recipients {
		k := attemptKey{t.message.ID, n}
		if s.kept[k] && (s.held[k] || s.removed[k]) {
			s.t.Fatalf("seed %d: %v is handed out, and an operator has held or removed it", s.seed,
				k)
		}
		if s.trying[k] || s.state[k] == simDone && !s.removed[k] {
			s.t.Fatalf("seed %d: %v is handed out: it is being tried: %v; done: %v", s.seed, k,
				s.trying[k], s.state[k] == simDone)
		}
		s.trying[k] = true
	}
}

func (s *sim) connStep(cn *conn) {
	c := s.core
	select {
	case <-cn.wake:
	default:
	}
	switch cn.state {
	case connOpening:
		if s.dead[cn.site.name] {
			c.connectFailed(cn, mail.Attempt{Text: "down"}, false, s.now)
			s.drop(cn)
			return
		}
		c.connected(cn, s.now)
	case connBusy:
		s.transact(cn)
	case connClosing:
		c.closed(cn)
		s.drop(cn)
	}
}

func (s *sim) drop(cn *conn) {
	s.conns = slices.DeleteFunc(s.conns, func(x *conn) bool { return x == cn })
}

// transact ends the transaction of cn somehow.
func (s *sim) transact(cn *conn) {
	t := cn.tx
	v := &verdict{usable: true, through: true}
	switch n := s.rand.IntN(40); {
	case n == 0 || s.dead[cn.site.name]:
		*v = verdict{none: s.rand.IntN(2) == 0, trouble: true, reason: mail.Attempt{Text: "421"}}
	case n == 1:
		*v = verdict{none: true}
	case n == 2:
		v.again = []int{len(t.recipients) - 1}
	}
	s.outcomes(t, v)
	delete(s.begun, t)
	settle := len(t.outcomes) > 0
	s.core.finished(cn, t, v, s.now)
	if settle {
		s.settle(t)
	}
}

// outcomes decides what became of the recipients. v is nil when their domain takes no mail.
func (s *sim) outcomes(t *transaction, v *verdict) {
	for i, n := range t.recipients {
		k := attemptKey{t.message.ID, n}
		if v != nil && (v.none || slices.Contains(v.again, i)) {
			delete(s.trying, k)
			continue
		}
		e := t.entryOf(n)
		o := queue.Outcome{ID: k.id, Recipient: n, Domain: e.item.Domain, WasDue: e.item.Due,
			State: queue.Relayed}
		if v != nil && (v.trouble || s.rand.IntN(8) == 0) {
			o.State = queue.Deferred
			o.Due = s.now.Add(
				time.Duration(s.rand.IntN(60)+1) * time.Second).Truncate(time.Millisecond)
		}
		t.outcomes = append(t.outcomes, o)
	}
}

// settle records the outcomes some time later, and tells the core some time after that.
func (s *sim) settle(t *transaction) {
	s.pending = append(s.pending, func() {
		s.tellAll() // commands are applied and told in the order of the log
		for _, o := range t.outcomes {
			k := attemptKey{o.ID, o.Recipient}
			delete(s.trying, k)
			if s.removed[k] {
				continue
			}
			s.erase(o.Domain, k)
			switch {
			case o.State != queue.Deferred:
				s.done(k)
			case !s.held[k]:
				s.write(queue.Item{Message: t.message, Domain: o.Domain, Due: o.Due,
					Recipients: []uint32{o.Recipient}})
			}
		}
		s.pending = append(s.pending, func() { s.core.settled(t, s.now) })
	})
}

// tellAll tells the core what is on disk and it has not heard of.
func (s *sim) tellAll() {
	if len(s.untold) > 0 {
		s.core.accepted(s.untold, s.now)
		s.untold = nil
		s.event()
	}
	if len(s.untoldIDs) == 0 {
		return
	}
	gone := map[mail.ID]bool{}
	for _, id := range s.untoldIDs {
		gone[id] = true
	}
	var domains []string
	for _, m := range s.all {
		if gone[m.ID] {
			for i, r := range m.Envelope.Recipients {
				domains = append(domains, r.Domain)
				k := attemptKey{m.ID, uint32(i)}
				s.kept[k] = s.held[k] || s.state[k] == simDone
			}
		}
	}
	s.core.changed(s.untoldIDs, domains, s.now)
	s.untoldIDs = nil
	s.event()
}

// run accepts n messages and goes on until all are delivered.
func (s *sim) run(n int) {
	for left, steps := n, 0; left > 0 || s.delivered < len(s.state); steps++ {
		if steps > 400*n {
			s.stuck()
		}
		switch x := s.rand.IntN(100); {
		case x < 10 && left > 0:
			left--
			s.accept()
		case x == 10 && left > 0:
			site := []string{fmt.Sprint("site", s.rand.IntN(s.sites)),
				fmt.Sprint("site", s.rand.IntN(s.sites)), "hub.test:25"}[s.rand.IntN(3)]
			s.dead[site] = !s.dead[site]
		case x == 11 && left > 0:
			s.core.changed(s.someIDs(), []string{fmt.Sprint("d", s.rand.IntN(30))}, s.now)
			s.event()
		case x == 12 && left > 0:
			s.suspend(1 + s.rand.IntN(3))
		case x == 17 && left > 0 && s.reloads:
			s.configure()
		case x < 16 && left > 0 && s.verbs:
			s.verb()
		case x == 16 && left == 0:
			s.releaseAll()
		case x < 90 && s.step():
		default:
			s.pass()
		}
		if left == 0 {
			clear(s.dead)
			if len(s.suspension.All) > 0 {
				s.suspend(0)
			}
		}
		if steps%64 == 0 {
			s.core.check(s.t)
			if s.t.Failed() {
				s.t.Fatalf("seed %d", s.seed)
			}
		}
	}
	s.core.check(s.t)
}

// pass lets time pass: a little, or until the core wants to be called.
func (s *sim) pass() {
	s.now = s.now.Add(time.Duration(s.rand.IntN(50)) * time.Millisecond)
	if at, ok := s.core.nextWake(); ok && s.rand.IntN(4) == 0 && at.After(s.now) {
		s.now = at
	}
	s.core.tick(s.now)
	s.event()
}

// mustBeFree checks that nothing of a transaction is suspended, without the core's ways of knowing.
func (s *sim) mustBeFree(t *transaction) {
	for _, one := range s.suspension.All {
		if !one.Until.IsZero() && !one.Until.After(s.now) {
			continue
		}
		for i := range t.pieces {
			d, o := t.pieces[i].e.dest, t.message.Envelope.Origin
			if one.Kind == queue.SuspendDomain && one.Name == d.key.domain ||
				one.Kind == queue.SuspendTenant && one.Name == o.Tenant ||
				one.Kind == queue.SuspendCampaign && one.Name == o.Campaign ||
				one.Kind == queue.SuspendSite && t.conn != nil && one.Name == t.conn.site.name {
				s.t.Fatalf("seed %d: %v of %v, %+v is handed out while %+v is suspended", s.seed,
					t.message.ID, d.key, o, one)
			}
		}
	}
}

func (s *sim) stuck() {
	for _, d := range s.core.all {
		s.t.Logf(
			"%v: state %d, %d waiting, %d busy, backlog %v, loading %v, queued %v, cursor %v, "+
				"seen %v, next due %v", d.key, d.state, d.waiting,
			d.busy.n, d.backlog, d.loading, d.queued, d.cursor, d.seen, d.nextDue)
	}
	for _, x := range s.core.sites {
		s.t.Logf("site %s: %v, %d waiting, %d open, %d allowed, suspension %v, %d destinations",
			x.name, x.state, x.waiting, x.open, x.allow, x.suspension, len(x.dests))
	}
	for name, rows := range s.disk {
		for _, it := range rows {
			s.t.Logf("on disk: %s %v %v", name, rowOf(&it), it.Recipients)
		}
	}
	s.t.Logf(
		"held %d of %d, active %d, window %d, loads %d, looking %d, lookups %d, ready %d, "+
			"starved %d, open %d, unsettled %d, loading %d", s.core.held, s.core.o.WindowTotal,
		s.core.active, s.core.window(), s.core.loads.Len(), s.core.looking, s.core.lookups.Len(),
		s.core.ready.Len(), s.core.starved.Len(), len(s.core.conns), s.core.unsettled,
		len(s.core.loading))
	s.t.Fatalf("seed %d: %d of %d delivered; now %d, %d answers under way, %d connections", s.seed,
		s.delivered, len(s.state), s.now.UnixMilli(), len(s.pending), len(s.conns))
}

// TestSimulation runs many seeds; a failure names its seed.
func TestSimulation(t *testing.T) {
	for seed := range uint64(simSeeds) {
		s := newSim(t, seed)
		s.verbs, s.reloads = seed%2 == 0, seed%4 < 2
		s.run(150)
	}
}

var simSeeds = 200
