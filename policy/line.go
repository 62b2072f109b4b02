package policy

import (
	"net/netip"
	"sync"
)

// line is where log-ins wait for a worker. Two classes wait apart: those from networks where
// somebody has logged in, and those of strangers. While both wait, strangers have one turn of
// strangersEvery, so that a flood from anywhere costs an honest user one hash more, and users who
// all come at once do not keep out who is new.
//
// Within a class networks take turns, those first that have failed least, and accounts do, too: a
// botnet of hundreds of networks that guesses at one account has one turn after each other account.
// A class has a bound. Beyond it, who has most of the places gives one up.
//
// The road not taken: a queue for each network. The places are so few that looking at all of them
// is nothing beside a hash, and needs no order to be kept.
//
// Safe for use by several goroutines.
type line struct {
	places int // in each class
	ready  sync.Cond
	mu     sync.Mutex
	// guarded by mu:
	closed  bool
	turns   uint64
	classes [classes]waiting
}

const (
	knownNetworks = iota
	strangers
	classes
)

const strangersEvery = 4

// waiting is one class of a line.
type waiting struct {
	logins   []*login // in the order in which they came
	networks map[netip.Prefix]share
	accounts map[string]share
}

// share is what one network or account has of a class. It is kept while somebody of it waits.
type share struct {
	waiting int
	served  uint64 // the turn at which it was last served; 0: not since it waits
}

func newLine(places int) *line {
	l := &line{places: places}
	l.ready.L = &l.mu
	for i := range l.classes {
		l.classes[i].networks = map[netip.Prefix]share{}
		l.classes[i].accounts = map[string]share{}
	}
	return l
}

func classOf(l *login) int {
	if l.known {
		return knownNetworks
	}
	return strangers
}

// join takes a log-in into the line. It returns the one that lost its place, which may be the same
// one, and false when the line is closed.
func (q *line) join(l *login) (lost *login, open bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, false
	}
	c := &q.classes[classOf(l)]
	c.add(l)
	if len(c.logins) > q.places {
		lost = c.remove(c.greediest())
	}
	q.ready.Signal()
	return lost, true
}

// next waits for the log-in whose turn it is; nil: the line is closed and empty.
func (q *line) next() *login {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		first, second := &q.classes[knownNetworks], &q.classes[strangers]
		if (q.turns+1)%strangersEvery == 0 {
			first, second = second, first
		}
		if len(first.logins) == 0 {
			first = second
		}
		if len(first.logins) > 0 {
			q.turns++
			return first.serve(q.turns)
		}
		if q.closed {
			return nil
		}
		q.ready.Wait()
	}
}

// close lets nobody else in. Who waits is served.
func (q *line) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.ready.Broadcast()
}

func (w *waiting) add(l *login) {
	w.logins = append(w.logins, l)
	count(w.networks, wide(l.network), 1)
	count(w.accounts, l.account, 1)
}

func (w *waiting) remove(i int) *login {
	l := w.logins[i]
	copy(w.logins[i:], w.logins[i+1:])
	last := len(w.logins) - 1
	w.logins[last] = nil // a password is not kept for longer than it is needed
	w.logins = w.logins[:last]
	count(w.networks, wide(l.network), -1)
	count(w.accounts, l.account, -1)
	return l
}

func count[K comparable](of map[K]share, key K, n int) {
	s := of[key]
	if s.waiting += n; s.waiting == 0 {
		delete(of, key)
		return
	}
	of[key] = s
}

// serve removes the log-in whose turn it is: of those whose network has failed least, the one whose
// network or account was served longest ago; among equals who came first.
func (w *waiting) serve(turn uint64) *login {
	best := 0
	for i, l := range w.logins {
		if b := w.logins[best]; l.failures < b.failures ||
			l.failures == b.failures && w.served(l) < w.served(b) {
			best = i
		}
	}
	l := w.remove(best)
	if s, ok := w.networks[wide(l.network)]; ok {
		s.served = turn
		w.networks[wide(l.network)] = s
	}
	if s, ok := w.accounts[l.account]; ok {
		s.served = turn
		w.accounts[l.account] = s
	}
	return l
}

func (w *waiting) served(l *login) uint64 {
	return max(w.networks[wide(l.network)].served, w.accounts[l.account].served)
}

// greediest returns who gives its place up: of the network or the account with most places, the one
// whose network has failed most; among equals who came last.
func (w *waiting) greediest() int {
	worst := 0
	for i, l := range w.logins {
		b := w.logins[worst]
		places, most := w.placesOf(l), w.placesOf(b)
		if places > most || places == most && l.failures >= b.failures {
			worst = i
		}
	}
	return worst
}

func (w *waiting) placesOf(l *login) int {
	return max(w.networks[wide(l.network)].waiting, w.accounts[l.account].waiting)
}

// wide is the network that shares a turn: an IPv4 /24 or an IPv6 /56, as in docs/limits.md, for
// whoever has one address of those has the others often.
func wide(n netip.Prefix) netip.Prefix {
	bits := 56
	if n.Addr().Is4() {
		bits = 24
	}
	p, _ := n.Addr().Prefix(bits) // fails for the zero Addr only, which is a network of its own
	return p
}
