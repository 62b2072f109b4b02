package share

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// GrantorOptions configure a Grantor.
type GrantorOptions struct {
	// Leading is the term in which this node surely leads the control group now (its own lease is
	// good); 0: it does not.
	Leading func() uint64
	// Groups are the queue groups that exist.
	Groups func() []uint64
	// Heard are the other nodes that this one has heard of since it started, and when last. nil:
	// there are none.
	Heard func() map[uint16]time.Time
	// Members are all nodes that can own a group, this one among them. nil: that is not known, and
	// no linger is cut short.
	Members  func() []uint16
	Lease    time.Duration    // default DefaultLease
	Linger   time.Duration    // default DefaultLinger
	Patience time.Duration    // default DefaultPatience
	Now      func() time.Time // monotonic; nil: time.Now
}

// Grantor gives out shares while its node leads the control group. It keeps what it gave in memory:
// a new one knows nothing, so it grants nothing beyond what the holders have already, until each of
// them has spoken or all old leases have ended. There is one on each node, for as long as the node
// runs. Safe for use by several goroutines.
type Grantor struct {
	o GrantorOptions

	mu    sync.Mutex
	reign uint64 // the term of what follows; 0: none yet
	began time.Time
	// silent: somebody may hold connections, or rates, that we know nothing of.
	silent, silentRates bool
	groups              census
	parties             map[Tenure]*party
	books               map[string]*book // by site
	strangers           map[uint16]*stranger
}

// party is a holder that has spoken in this reign.
type party struct {
	Tenure
	node   uint16
	seq    uint64
	groups int // by which it counts its reserved parts
	heard  bool
	until  time.Time // of its lease
	first  time.Time // when it first spoke
	clean  time.Time // by then the holder of the group before it has closed its connections
	// nodes that said, since it first spoke, that they have no holder of the group before
	vouched map[uint16]bool
	deposed bool      // the group has a newer holder
	since   time.Time // when that was learned
	// by then this one has closed its connections, or is not waited for any more
	gone    time.Time
	entries map[string]*entry
}

// NewGrantor returns a grantor.
func NewGrantor(o GrantorOptions) *Grantor {
	if o.Lease <= 0 {
		o.Lease = DefaultLease
	}
	if o.Linger <= 0 {
		o.Linger = DefaultLinger
	}
	if o.Patience <= 0 {
		o.Patience = DefaultPatience
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Heard == nil {
		o.Heard = func() map[uint16]time.Time { return nil }
	}
	return &Grantor{o: o}
}

// Ask answers a holder. It does not block. Errors: ErrNotGrantor, ErrSuperseded, or what is wrong
// with the request.
func (g *Grantor) Ask(_ context.Context, r Request) (Grant, error) {
	if err := r.check(); err != nil {
		return Grant{}, err
	}
	term := g.o.Leading()
	if term == 0 {
		return Grant{}, ErrNotGrantor
	}
	groups := g.o.Groups()
	g.mu.Lock()
	defer g.mu.Unlock()
	if term < g.reign {
		return Grant{}, ErrNotGrantor
	}
	now := g.o.Now()
	if term != g.reign {
		g.begin(term, now)
	}
	g.groups.add(len(groups), now)
	g.sweep(now)
	if r.Reign != term {
		// it may have been sent long ago: only what is said to this reign counts
		return Grant{Reign: term}, nil
	}
	p, err := g.party(&r, now)
	if err != nil {
		return Grant{}, err
	}
	g.hear(p, &r, p.heard && !now.Before(p.until))
	p.until, p.groups = now.Add(g.o.Lease), r.Groups
	g.listen(groups, now)
	grant := g.decide(p, &r, groups, now)
	if g.o.Leading() != term {
		return Grant{}, ErrNotGrantor
	}
	return grant, nil
}

// begin starts a reign. Nothing is known of what others granted.
func (g *Grantor) begin(term uint64, now time.Time) {
	g.reign, g.began, g.silent, g.silentRates = term, now, true, true
	g.groups = census{window: 2 * g.o.Lease}
	g.parties, g.books = map[Tenure]*party{}, map[string]*book{}
	g.meet()
}

// party finds who asks.
func (g *Grantor) party(r *Request, now time.Time) (*party, error) {
	p := g.parties[r.Tenure]
	if p == nil {
		if len(g.parties) >= maxHolders {
			return nil, fmt.Errorf("share: more than %d holders", maxHolders)
		}
		p = &party{
			Tenure: r.Tenure, node: r.Node, first: now, clean: now.Add(g.o.Linger - r.Age),
			vouched: map[uint16]bool{}, entries: map[string]*entry{},
		}
		g.parties[r.Tenure] = p
		g.succeed(p, now)
	}
	if r.Seq <= p.seq {
		return nil, ErrSuperseded
	}
	p.seq = r.Seq
	return p, nil
}

// succeed takes note that a group has another owner: the one before starts nothing any more, and
// closes what it has as soon as its process runs.
func (g *Grantor) succeed(p *party, now time.Time) {
	for _, q := range g.parties {
		switch {
		case q.Group != p.Group || q == p || q.deposed && q.Epoch < p.Epoch:
		case q.Epoch < p.Epoch:
			g.depose(q, p, now)
		case !p.deposed:
			g.depose(p, q, now)
		}
	}
}

// depose takes note that a holder has a successor.
func (g *Grantor) depose(q, successor *party, now time.Time) {
	q.deposed, q.since, q.gone = true, now, successor.clean
	if q.node != 0 {
		q.gone = now.Add(g.o.Patience) // or when Note hears that it has nothing open
	}
}

// fewest is the smallest number of groups by which a holder may count its reserved parts: what it
// said, or what it may have seen of late.
func (g *Grantor) fewest(groups []uint64, now time.Time) int {
	n, said := max(1, len(groups)), map[uint64]bool{}
	for _, p := range g.parties {
		n = min(n, p.groups)
		said[p.Group] = said[p.Group] || !p.deposed && !now.Before(p.clean)
	}
	for _, id := range groups {
		if !said[id] {
			return min(n, g.groups.least())
		}
	}
	return n
}

// sweep forgets the holders that have nothing any more.
func (g *Grantor) sweep(now time.Time) {
	for k, p := range g.parties {
		if p.deposed && !now.Before(p.gone) || now.Sub(p.until) > forget {
			for name := range p.entries {
				g.strike(p, name)
			}
			delete(g.parties, k)
		}
	}
}

// forget is how long the connections of a holder that is not heard of are counted while its group
// has no other owner. No transaction takes longer.
const forget = 15 * time.Minute

// listen ends the silence at the beginning of a reign: when all groups' holders have spoken and
// those before them have closed their connections. Else shares of a rate end with their lease, but
// a connection is as old as its last transaction takes.
func (g *Grantor) listen(groups []uint64, now time.Time) {
	if !g.silent && !g.silentRates {
		return
	}
	heard, clean := map[uint64]bool{}, g.began
	for _, p := range g.parties {
		heard[p.Group] = true
		if p.clean.After(clean) {
			clean = p.clean
		}
	}
	all := true
	for _, id := range groups {
		all = all && heard[id]
	}
	age := now.Sub(g.began)
	g.silentRates = g.silentRates && age < g.o.Lease && !all
	g.silent = g.silent && age < forget && (!all || now.Before(clean) || len(g.unknown(now)) > 0)
	for name, b := range g.books {
		if !g.silent {
			b.known = 0
		}
		if !g.silentRates {
			b.knownRate = 0
		}
		g.tidy(name, b)
	}
}
