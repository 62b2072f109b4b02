package share

import (
	"slices"
	"time"
)

// Whether deposed holders have closed their connections. One whose process runs does so at once; a
// process that is stopped closes nothing until it wakes. So their nodes are asked which holders
// they have: whoever asks them learns from Doubts whom to ask, and tells Note.

// stranger is a node that may have had a holder before this reign, which was deposed before it
// spoke.
type stranger struct {
	until    time.Time // it is waited for
	answered bool
	open     []Tenure // what it answered
}

// Doubt is a node of which it is not known whether its deposed holders have closed their
// connections.
type Doubt struct {
	Node        uint16
	Connections int  // that are counted for them
	Brief       bool // its answer only spares others the linger: without it nothing is amiss
}

// meet begins to ask, at the beginning of a reign, all nodes that were there of late.
func (g *Grantor) meet() {
	g.strangers = map[uint16]*stranger{}
	for node, heard := range g.o.Heard() {
		if until := heard.Add(g.o.Patience); g.began.Before(until) {
			g.strangers[node] = &stranger{until: until}
		}
	}
}

// Doubts are the nodes to be asked now, by number; none when this node does not grant.
func (g *Grantor) Doubts() (all []Doubt) {
	term := g.o.Leading()
	g.mu.Lock()
	defer g.mu.Unlock()
	if term == 0 || term != g.reign {
		return nil
	}
	now := g.o.Now()
	g.sweep(now)
	ask := map[uint16]int{}
	if g.silent {
		for _, node := range g.unknown(now) {
			ask[node] = 0
		}
	}
	for _, p := range g.parties {
		if p.deposed && p.node != 0 {
			n := ask[p.node] // also without any: its reserved part may be in use
			for _, e := range p.entries {
				n += e.charge
			}
			ask[p.node] = n
		}
	}
	for node, n := range ask {
		all = append(all, Doubt{Node: node, Connections: n})
	}
	for node := range g.sparing(now) {
		if _, ok := ask[node]; !ok {
			all = append(all, Doubt{Node: node, Brief: true})
		}
	}
	slices.SortFunc(all, func(a, b Doubt) int { return int(a.Node) - int(b.Node) })
	return all
}

// Note takes what a node answered, to a question asked at a time, when asked for its holders
// (Present.Tenures). A node of which no process is left has none.
func (g *Grantor) Note(node uint16, asked time.Time, open []Tenure) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.o.Now()
	for _, p := range g.parties {
		if p.deposed && p.node == node && !asked.Before(p.since) &&
			!slices.Contains(open, p.Tenure) {
			p.gone = now
		}
	}
	if s := g.strangers[node]; s != nil && !asked.Before(g.began) {
		s.answered, s.open, s.until = true, open, asked.Add(g.o.Patience)
	}
	for _, p := range g.parties {
		if g.lingers(p, now) && !asked.Before(p.first) && !slices.ContainsFunc(open, p.follows) {
			p.vouched[node] = true
			if !slices.ContainsFunc(g.o.Members(), func(m uint16) bool { return !p.vouched[m] }) {
				p.clean = now
			}
		}
	}
	g.sweep(now)
}

// follows reports whether a holder is one of the same group before.
func (p *party) follows(t Tenure) bool { return t.Group == p.Group && t.Epoch < p.Epoch }

// lingers reports whether the holder before this one is waited for because nobody has said yet that
// it has nothing open.
func (g *Grantor) lingers(p *party, now time.Time) bool {
	return g.o.Members != nil && !p.deposed && now.Before(p.clean)
}

// sparing are the nodes whose answers may cut a linger short. Whoever has no holder of a group when
// its next owner has spoken never gets one: the lease of the one before is over.
func (g *Grantor) sparing(now time.Time) map[uint16]struct{} {
	nodes := map[uint16]struct{}{}
	for _, p := range g.parties {
		if !g.lingers(p, now) {
			continue
		}
		for _, m := range g.o.Members() {
			if !p.vouched[m] {
				nodes[m] = struct{}{}
			}
		}
	}
	return nodes
}

// unknown are the nodes that may have connections of deposed holders that never spoke in this
// reign.
func (g *Grantor) unknown(now time.Time) (nodes []uint16) {
	newest := map[uint64]uint64{}
	for t := range g.parties {
		newest[t.Group] = max(newest[t.Group], t.Epoch)
	}
	for node, s := range g.strangers {
		older := func(t Tenure) bool { return t.Epoch < newest[t.Group] && g.parties[t] == nil }
		if now.Before(s.until) && (!s.answered || slices.ContainsFunc(s.open, older)) {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

// mustWait reports whether a holder of the same group before may have connections open.
func (g *Grantor) mustWait(p *party, now time.Time) bool {
	if now.Before(p.clean) || g.silent && len(g.unknown(now)) > 0 {
		return true
	}
	for _, q := range g.parties {
		if q.Group == p.Group && q.Epoch < p.Epoch {
			return true
		}
	}
	return false
}
