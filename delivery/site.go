package delivery

import (
	"time"

	"github.com/postroad/postroad/delivery/mx"
	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/delivery/share"
	"github.com/postroad/postroad/delivery/timers"
	"github.com/postroad/postroad/internal/fifo"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue"
)

// site is a set of hosts that share their fate: connections, limits and back-off. Owned by the
// core.
//
// While it is up, allow connections may be open: few at first and twice as many with each round of
// successes (slow start), up to the limit; a 421 or a failed connect halves them. When nothing gets
// through it is dead until a time, for all its destinations at once and without a write per
// message; then one probe decides.
type site struct {
	key   string
	name  string // for logs, labels and the operator
	own   string // the domain whose limits it has; "": they are by its hosts
	state siteState
	via   *route    // how it is reached; nil: by MX
	local bool      // its mail goes to Options.Store
	hosts *mx.Route // of the destination that was looked up last
	shape Shaping
	avoid string // a host that had enough of us, for the next connection
	takes int    // the recipients of one transaction that the peer takes; 0: it did not say
	rate  shaping.Limiter
	lease *share.Site // of limits that hold for the whole cluster; nil: they are ours alone
	share int         // connections that our part allows

	round   fifo.Ring[*tenant] // tenants with something waiting, next first
	first   tenant
	others  map[string]*tenant
	waiting int            // entries of all attached destinations
	dests   []*destination // attached
	refs    int            // destinations that are attached or were and are looked up again
	hand    int            // where the next probe looks for an entry

	allow      int // connections that may be open now
	streak     int // successes since allow changed
	open       int // connections, those being opened and closed included
	connecting int
	lively     int // open connections over which something got through
	idle       []*conn
	failures   int // dead times in a row
	losses     int // connections in a row that were lost after MAIL was answered
	until      time.Time
	pause      time.Time // up: no new connection before
	timer      timers.Timer
	queued     bool // in core.ready
	starved    bool // in core.starved
	reason     mail.Attempt
	told       told              // of times that it was dead
	sayAt      time.Time         // when to say what holds its mail back, if it still does
	suspension *queue.Suspension // nil: it is not suspended
	stats      *SiteStats
}

type siteState uint8

const (
	siteUp      siteState = iota // allow connections may be open
	siteDead                     // nothing is tried before until
	siteProbing                  // one connection is tried
)

var siteStateNames = [...]string{"up", "dead", "probing"}

func (s siteState) String() string { return siteStateNames[s] }

// siteMoves is the table of allowed moves.
var siteMoves = [3][3]bool{
	siteUp:      {siteDead: true},
	siteDead:    {siteProbing: true},
	siteProbing: {siteUp: true, siteDead: true},
}

// initialConnections are allowed to a site that nothing is known of.
const initialConnections = 2

// become moves a site to another state; it is the only place that does.
func (c *core) become(s *site, to siteState, now time.Time) {
	if !siteMoves[s.state][to] {
		panic("delivery: site " + s.name + " cannot go from " + s.state.String() + " to " +
			to.String())
	}
	s.state = to
	switch to {
	case siteDead:
		s.until = now.Add(c.backoff(s.failures))
		s.failures++
		s.allow, s.streak = 0, 0
		c.timers.Set(&s.timer, s.until)
		for _, d := range s.dests {
			c.tellOf(d, s.told, s.reason, s.until, now)
			c.dropAll(d)
		}
		s.told = s.told.all(now)
		c.deadSites++
		c.o.Logf("site %s: not reachable: %s; %d connections in a row; next try in %v",
			s.name, s.reason.Text, s.failures, s.until.Sub(now).Round(time.Second))
	case siteProbing:
		c.deadSites--
		s.allow = 1
		c.probe(s)
	case siteUp:
		s.failures, s.allow, s.streak = 0, 1, 0
		for _, d := range s.dests {
			c.wantMore(d)
		}
		c.o.Logf("site %s: reachable again", s.name)
	}
	c.rouse(s)
}

// backoff is how long a site is left alone after its n-th failure in a row.
func (c *core) backoff(n int) time.Duration {
	d := c.o.Backoff.Max
	if n < 30 {
		d = min(d, c.o.Backoff.First<<n)
	}
	return d + time.Duration(c.rand.Int64N(int64(d)/4+1))
}

// fire is the site's timer: a dead one is probed, one that was held up by its rate or a pause goes
// on.
func (c *core) fire(s *site, now time.Time) {
	if s.state == siteDead {
		c.become(s, siteProbing, now)
	}
	c.rouse(s)
}

// probe finds one destination that has something to try at a site that is being probed.
func (c *core) probe(s *site) {
	for range s.dests {
		s.hand++
		d := s.dests[s.hand%len(s.dests)]
		if d.suspended() {
			continue
		}
		if d.waiting > 0 {
			return
		}
		if d.backlog {
			c.wantMore(d)
			return
		}
	}
}

// succeeded counts a transaction that got through: the ramp.
func (c *core) succeeded(s *site, cn *conn, now time.Time) {
	if !cn.lively {
		cn.lively = true
		s.lively++
	}
	switch s.state {
	case siteProbing:
		c.become(s, siteUp, now)
	case siteDead: // an old connection still works
		c.become(s, siteProbing, now)
		c.become(s, siteUp, now)
	}
	if s.allow >= s.shape.Connections {
		return
	}
	if s.streak++; s.streak >= s.allow {
		s.allow, s.streak = min(2*s.allow, s.shape.Connections), 0
		if s.allow == s.shape.Connections {
			s.reason = mail.Attempt{} // it has recovered
		}
		c.rouse(s)
	}
}

// troubled lowers the concurrency after a connection failed or was refused: to half while others
// work, else the site is dead.
func (c *core) troubled(s *site, why mail.Attempt, now time.Time) {
	s.reason = why
	if s.state == siteDead {
		return // one of several that failed together
	}
	if s.lively == 0 {
		c.become(s, siteDead, now)
		return
	}
	s.allow, s.streak = max(1, min(s.allow, s.open)/2), 0
	s.pause = now.Add(c.o.Backoff.First / 4)
	c.timers.SetEarlier(&s.timer, s.pause)
}

// reachable reports whether something may be tried at the site.
func (s *site) reachable() bool { return s.state != siteDead && s.suspension == nil }
