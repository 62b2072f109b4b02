package delivery

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/delivery/jitter"
	"github.com/postroad/postroad/delivery/mx"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue"
)

// Scheduler delivers a queue's mail. It is a monitor: one mutex, under which the core decides; its
// methods are safe for use by several goroutines and do not block for long. Around the core there
// are one goroutine per open outgoing connection, short-lived ones (bounded) for look-ups and reads
// from disk, one for the timer and one for the scans of old mail.
type Scheduler struct {
	o        Options // but its Settings: those in force are the core's
	queue    Queue
	resolver Resolver
	dial     Dialer

	ctx     context.Context // ends when Shutdown begins: look-ups, loads, dialling
	cancel  context.CancelFunc
	kick    chan struct{} // the timer has to fire earlier
	jitter  jitter.Jitter // of what is tried again
	goings  sync.WaitGroup
	started sync.Once
	turn    atomic.Uint32 // of Options.Sources
	picture inFlight
	// abandoned: nothing is settled any more.
	abandoned atomic.Bool

	mu struct {
		sync.Mutex
		core     *core
		conns    map[*conn]Conn // open ones, for Shutdown
		wakeAt   time.Time      // when the timer fires; zero: not set
		ended    bool           // no goroutine may be started any more
		inFlight inFlight
		caught   caught
	}
}

// New returns a scheduler for q. It takes what the queue tells it (queue.Listener) from now on, and
// attempts from Start on.
func New(o Options, q Queue, r Resolver, d Dialer) (*Scheduler, error) {
	o.setDefaults()
	set, err := o.compile()
	if err != nil {
		return nil, fmt.Errorf("delivery: %w", err)
	}
	o.Settings = Settings{}
	s := &Scheduler{o: o, queue: q, resolver: r, dial: d, kick: make(chan struct{}, 1)}
	s.jitter = jitter.New(o.Seed)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.mu.conns, s.mu.caught = map[*conn]Conn{}, caught{}
	set.way = newWay(s.ctx)
	c := newCore(&s.o, set)
	c.cached = s.cached
	c.jammed = true // until Start
	s.mu.core = c
	return s, nil
}

// Start begins to deliver, with what lies in the queue already.
func (s *Scheduler) Start() {
	s.started.Do(func() {
		if s.o.Shares != nil {
			s.o.Shares.Start(shareUser{s})
		}
		s.goings.Go(s.ringTimer)
		s.goings.Go(s.scanExpiry)
		now := s.lock()
		s.mu.core.jammed = false
		s.mu.core.timers.Set(&s.mu.core.scan.timer, now)
		s.unlock(now)
	})
}

// lock begins an event.
func (s *Scheduler) lock() (now time.Time) {
	now = s.o.Now()
	s.mu.Lock()
	return now
}

// unlock ends an event: it lets the core do what has become possible and carries out its actions.
func (s *Scheduler) unlock(now time.Time) {
	c := s.mu.core
	c.dispatch(now)
	actions, refusals, unreached := c.actions, c.refusals, c.unreached
	c.actions, c.refusals, c.unreached = nil, nil, nil
	if !s.mu.ended {
		s.goings.Add(len(actions))
	} else {
		actions = nil
	}
	if at, ok := c.nextWake(); ok && (s.mu.wakeAt.IsZero() || at.Before(s.mu.wakeAt)) {
		s.mu.wakeAt = at
		select {
		case s.kick <- struct{}{}:
		default:
		}
	}
	s.mu.Unlock()
	for i := range actions {
		go s.carryOut(&actions[i])
	}
	for _, t := range refusals {
		s.refuse(t, now)
	}
	s.logUnreached(unreached)
}

// carryOut does one action, on its own goroutine.
func (s *Scheduler) carryOut(a *action) {
	defer s.goings.Done()
	switch a.kind {
	case actOpen:
		s.runConn(a.conn)
	case actLookup:
		s.lookUp(a.dest)
	case actLoad:
		s.load(a)
	case actScan:
		found, err := s.queue.Domains(a.from, a.max)
		now := s.lock()
		s.mu.core.scanned(found, err, now)
		s.unlock(now)
	}
}

// ringTimer fires the core's timers.
func (s *Scheduler) ringTimer() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.kick:
		case <-timer.C:
			now := s.lock()
			s.mu.core.tick(now)
			s.mu.wakeAt = time.Time{}
			s.unlock(now)
		}
		s.mu.Lock()
		at := s.mu.wakeAt
		s.mu.Unlock()
		if wait := at.Sub(s.o.Now()); !at.IsZero() {
			timer.Reset(max(0, wait))
		}
	}
}

// Accepted takes new items (queue.Listener).
func (s *Scheduler) Accepted(items []queue.Item) {
	var last mail.ID // the items of one message are neighbours
	for i := range items {
		if m := items[i].Message; m.ID != last {
			last = m.ID
			s.o.Log.Queued(m.ID, m.Envelope.Sender, m.Size, len(m.Envelope.Recipients))
		}
	}
	now := s.lock()
	s.mu.core.accepted(items, now)
	s.unlock(now)
}

// Changed forgets what is held of messages that an operator changed and looks at their domains
// again (queue.Listener).
func (s *Scheduler) Changed(ids []mail.ID, domains []string) {
	now := s.lock()
	s.mu.core.changed(ids, domains, now)
	s.mu.caught.note(ids, s.mu.core.inFlight(), now)
	s.unlock(now)
}

// Gone writes the last line of each message's log (queue.Listener).
func (s *Scheduler) Gone(ids []mail.ID) {
	for _, id := range ids {
		s.o.Log.Removed(id)
	}
}

// Flush lets what waits for a site that is dead, or for a look-up, be tried at once; no domains
// means all of them. It goes with queue.Flush, which makes deferred recipients due.
func (s *Scheduler) Flush(domains ...string) {
	now := s.lock()
	s.mu.core.flush(domains, now)
	s.unlock(now)
}

// Reason says why nothing of a domain is attempted now, and until when; ok is false when nothing
// keeps it.
func (s *Scheduler) Reason(domain string) (why mail.Attempt, until time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.core.why(domain)
}

// lookUp finds a destination's hosts.
func (s *Scheduler) lookUp(d *destination) {
	find, name := s.resolver.Lookup, d.key.domain
	if d.via != nil && !d.via.mx {
		find, name = s.resolver.LookupHost, d.via.host
	}
	route, f := find(s.ctx, name)
	now := s.lock()
	s.mu.core.lookedUp(d, route, f, now)
	s.unlock(now)
}

// load reads a destination's next rows.
func (s *Scheduler) load(a *action) {
	domain := a.dest.key.domain
	var r loadResult
	var cursor queue.Cursor
	r.items, cursor, r.err = s.queue.Due(domain, a.after.cursor(), a.until, a.max)
	r.cursor = rowAt(cursor)
	if r.more = len(r.items) >= a.max; r.err == nil && !r.more {
		// The end, for now. When does the next row become due?
		var next []queue.Item
		next, _, r.err = s.queue.Due(domain, cursor, a.until.Add(farAway), 1)
		if len(next) > 0 {
			r.next = next[0].Due
			r.more = !r.next.After(a.until)
		}
	}
	now := s.lock()
	s.mu.core.loaded(a.dest, r, now)
	s.unlock(now)
}

// farAway is beyond every due time.
const farAway = 10 * 365 * 24 * time.Hour

// cached answers a look-up from the resolver's memory.
func (s *Scheduler) cached(r *route, domain string) (*mx.Route, *smtp.Failure, bool) {
	if r != nil && !r.mx {
		return s.resolver.CachedHost(r.host)
	}
	return s.resolver.Cached(domain)
}
