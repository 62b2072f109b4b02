package share

import (
	"cmp"
	"slices"
	"time"
)

// book is what is given out of one site's limits. known is what the holders had when they first
// spoke in this reign: as long as there may be others with shares, no more than that is given out.
type book struct {
	entries   map[*party]*entry
	known     int
	knownRate float64
}

// entry is one holder's part, beyond its reserved part. A charge is the most that it may have: what
// it uses, what it was granted, and what it held before, until it says that it knows.
type entry struct {
	limit      Limit
	want       int
	charge     int
	wantRate   float64
	chargeRate float64
}

// hear takes down what a holder says it has.
func (g *Grantor) hear(p *party, r *Request, lapsed bool) {
	named := make(map[string]struct{}, len(r.Needs))
	for i := range r.Needs {
		n := &r.Needs[i]
		named[n.Site] = struct{}{}
		b := g.books[n.Site]
		if b == nil {
			b = &book{entries: map[*party]*entry{}}
			g.books[n.Site] = b
		}
		e := &entry{limit: n.Limit, want: max(n.Want, n.Used), charge: max(n.Used, n.Held),
			wantRate: n.WantRate, chargeRate: n.HeldRate}
		if lapsed {
			e.chargeRate = 0 // said before its lease ended, heard after that
		}
		if !p.heard && !p.deposed { // a deposed one may have spoken before, and have been forgotten
			b.known += e.charge
			b.knownRate += e.chargeRate
		}
		b.entries[p], p.entries[n.Site] = e, e
	}
	p.heard = true
	for name := range p.entries {
		if _, ok := named[name]; !ok {
			g.strike(p, name)
		}
	}
}

// strike takes a holder out of a site's book.
func (g *Grantor) strike(p *party, name string) {
	delete(p.entries, name)
	b := g.books[name]
	delete(b.entries, p)
	g.tidy(name, b)
}

func (g *Grantor) tidy(name string, b *book) {
	if len(b.entries) == 0 && b.known == 0 && b.knownRate == 0 {
		delete(g.books, name)
	}
}

// decide grants what a request asks for, as far as it may.
func (g *Grantor) decide(p *party, r *Request, groups []uint64, now time.Time) Grant {
	grant := Grant{Reign: g.reign, Lease: g.o.Lease, Wait: g.mustWait(p, now)}
	grant.Clean = !grant.Wait
	if p.deposed {
		return grant
	}
	fewest := g.fewest(groups, now)
	turn := int(now.Sub(g.began) / (2 * g.o.Lease))
	for i := range r.Needs {
		name := r.Needs[i].Site
		b, e := g.books[name], p.entries[name]
		pool, rate := g.pool(b, len(groups), fewest)
		s := Share{Site: name, Connections: b.connections(p, pool, turn, now),
			Rate: b.rate(p, rate, now)}
		e.charge, e.chargeRate = max(e.charge, s.Connections), max(e.chargeRate, s.Rate)
		if s.Connections > 0 || s.Rate > 0 {
			grant.Shares = append(grant.Shares, s)
		}
	}
	return grant
}

// pool is what may be granted of a site's limits: the smallest that a holder names, without the
// reserved parts.
func (g *Grantor) pool(b *book, groups, fewest int) (connections int, rate float64) {
	l := b.limit()
	own, ownRate := l.reserved(fewest)
	n := max(groups, g.groups.most())
	connections, rate = max(0, l.Connections-n*own), max(0, l.Rate-float64(n)*ownRate)
	if g.silent {
		connections = min(connections, b.known)
	}
	if g.silentRates {
		rate = min(rate, b.knownRate)
	}
	return connections, rate
}

// limit is the smallest of those that the holders name. They differ while a change of the
// configuration is on its way.
func (b *book) limit() (l Limit) {
	first := true
	for _, e := range b.entries {
		if first {
			l, first = e.limit, false
			continue
		}
		l.Connections = min(l.Connections, e.limit.Connections)
		if l.Rate == 0 || e.limit.Rate > 0 && e.limit.Rate < l.Rate {
			l.Rate = e.limit.Rate
		}
	}
	return l
}

// connections is the share of one holder: its fair part, as far as the others have let go of it.
func (b *book) connections(p *party, pool, turn int, now time.Time) int {
	var wants []int
	place, live := 0, 0
	for i, q := range b.takers(now) {
		if q == p {
			place = i
		} else {
			live += b.entries[q].charge
		}
		wants = append(wants, b.entries[q].want)
	}
	pool -= b.orphaned(now)
	return max(0, min(divideWhole(pool, wants, turn)[place], pool-live))
}

// rate is the share of one holder. Shares of a rate end with their lease, whatever becomes of the
// holder.
func (b *book) rate(p *party, pool float64, now time.Time) float64 {
	var wants []float64
	place, live := 0, 0.0
	for i, q := range b.takers(now) {
		if q == p {
			place = i
		} else {
			live += b.entries[q].chargeRate
		}
		wants = append(wants, b.entries[q].wantRate)
	}
	return max(0, min(divide(pool, wants)[place], pool-live))
}

// live reports whether a holder may use what it was granted.
func (p *party) live(now time.Time) bool { return !p.deposed && now.Before(p.until) }

// takers are the holders that share a site, always in the same order.
func (b *book) takers(now time.Time) (all []*party) {
	for q := range b.entries {
		if q.live(now) {
			all = append(all, q)
		}
	}
	slices.SortFunc(all, func(x, y *party) int { return cmp.Compare(x.Group, y.Group) })
	return all
}

// orphaned are the connections of holders that are not heard of any more. They may still be open.
func (b *book) orphaned(now time.Time) (n int) {
	for q, e := range b.entries {
		if !q.live(now) {
			n += e.charge
		}
	}
	return n
}
