package policy

import (
	"net/netip"
	"sync"
	"time"
)

// guesses decides which log-ins are tried, and remembers which were wrong. docs/decisions/0008
// has the rule and its reasons. Three things are counted:
//
//   - An owner is an account and a network from which it has logged in. Its log-ins answer to its
//     own count, and to no other: what strangers do is not the owner's fault.
//   - Any other log-in is a stranger's. It answers to the count of its network and to that of the
//     account. At an account that has failed often, a network that has failed there has to wait for
//     an hour, so that what is left of the account's pace is for networks that have not.
//   - A wrong pair of account and password counts once in a network while it is repeated.
//
// A guess counts from its begin to its end, so that a hundred at once are no way past the limit.
// Whether one more may begin can then depend on others under way: it is parked until they end.
// A right one ends without a trace in the counts.
//
// Safe for use by several goroutines.
type guesses struct {
	now    clock
	parked int // how many may be parked
	mu     struct {
		sync.Mutex
		networks  table[netip.Prefix]
		accounts  table[string]
		owners    table[pair]
		strangers table[pair]         // networks that have failed at an account lately
		known     table[netip.Prefix] // networks where somebody has logged in
		parked    []*login
	}
}

// pair is an account as a network tries it.
type pair struct {
	account string
	network netip.Prefix
}

// guess is one log-in as guesses knows it.
type guess struct {
	pair        // account is canonical; empty: a name that nobody can have
	exempt bool // its network is trusted
	owner  bool // it answers to the owner's count
	known  bool // somebody has logged in from its network, or it is trusted
	// how often its network, or the owner, has failed lately; what it waits for goes by it
	failures int
	held     holding // the entries in which it is under way
}

type holding [2]*failing

func (h *holding) add(n int) {
	for _, entry := range h {
		if entry != nil {
			entry.underWay += n
		}
	}
}

// admission is what becomes of a log-in that wants to begin.
type admission uint8

const (
	admitted admission = iota
	parked             // an end that admits or refuses it will come
	tooManyParked
	networkBlocked
	accountSlow
)

// outcome is how a guess ended.
type outcome uint8

const (
	unchecked outcome = iota // it could not be checked, and is not counted
	right
	wrong
)

// refusal is a parked log-in that is not tried.
type refusal struct {
	*login
	why admission
}

func newGuesses(parked int, now clock) *guesses {
	g := &guesses{now: now, parked: parked}
	g.mu.networks = newTable[netip.Prefix](networkLimit)
	g.mu.accounts = newTable[string](accountLimit)
	g.mu.owners = newTable[pair](ownerLimit)
	g.mu.strangers = newTable[pair](strangerLimit)
	g.mu.known = newTable[netip.Prefix](knownLimit)
	return g
}

// begin admits a log-in, which then has to end, or refuses or parks it.
func (g *guesses) begin(l *login) admission {
	if l.exempt {
		return admitted
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	why := g.admitLocked(&l.guess, g.now())
	if why == parked {
		if len(g.mu.parked) >= g.parked {
			return tooManyParked
		}
		g.mu.parked = append(g.mu.parked, l)
	}
	return why
}

// beginNow is begin for a guess that ends before the next one in its goroutine begins, as SCRAM's
// do. It is never parked: the few that are under way cannot be many more than they should.
func (g *guesses) beginNow(q *guess) admission {
	if q.exempt {
		return admitted
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	why := g.admitLocked(q, now)
	if why == parked {
		g.enterLocked(q, now)
		return admitted
	}
	return why
}

func (g *guesses) admitLocked(q *guess, now time.Time) admission {
	if n := g.mu.owners.get(q.pair, now); n != nil {
		q.owner, q.known, q.failures = true, true, n.failures(&ownerLimit, now)
		switch {
		case n.blocked(now):
			return networkBlocked
		case n.undecided(&ownerLimit, now):
			return parked
		}
		g.enterLocked(q, now)
		return admitted
	}
	q.owner = false
	network := g.mu.networks.get(q.network, now)
	account := g.mu.accounts.get(q.account, now)
	q.known = g.mu.known.get(q.network, now) != nil
	q.failures = network.failures(&networkLimit, now)
	switch {
	case network.blocked(now):
		return networkBlocked
	case account.blocked(now),
		account.slow(&accountLimit, now) && g.mu.strangers.get(q.pair, now) != nil:
		return accountSlow
	case network.undecided(&networkLimit, now), account.undecided(&accountLimit, now):
		return parked
	}
	g.enterLocked(q, now)
	return admitted
}

func (g *guesses) enterLocked(q *guess, now time.Time) {
	if q.owner {
		q.held = holding{g.mu.owners.open(q.pair, now)}
	} else {
		q.held = holding{g.mu.networks.open(q.network, now)}
		if q.account != "" {
			q.held[1] = g.mu.accounts.open(q.account, now)
		}
	}
	q.held.add(1)
}

// repeats reports whether the pair was wrong lately, from the same network. mac is of the login
// cache.
func (g *guesses) repeats(q *guess, mac *[32]byte) bool {
	if q.exempt {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	n := g.mu.networks.get(q.network, now)
	return n != nil && n.repeats(mac, now)
}

// end takes the outcome of a guess that was admitted, and returns what it decides: parked log-ins
// that are admitted now, and those that are refused. mac is nil when the pair is not known.
func (g *guesses) end(q *guess, o outcome, mac *[32]byte) (begun []*login, refused []refusal) {
	if q.exempt {
		return nil, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	q.held.add(-1)
	switch {
	case o == right && q.account != "":
		g.mu.owners.open(q.pair, now).seen = now
		g.mu.known.open(q.network, now).seen = now
	case o == wrong:
		g.wrongLocked(q, mac, now)
	}
	q.held = holding{}
	return g.unparkLocked(now)
}

func (g *guesses) wrongLocked(q *guess, mac *[32]byte, now time.Time) {
	network := g.mu.networks.open(q.network, now)
	if mac != nil {
		repeated := network.repeats(mac, now)
		network.note(mac, now)
		network.seen = now
		if repeated {
			return
		}
	}
	if q.owner {
		seen := q.held[0].seen // failures do not make an owner of a network for longer
		q.held[0].fail(&ownerLimit, now)
		q.held[0].seen = seen
		return
	}
	network.fail(&networkLimit, now)
	if q.account != "" {
		g.mu.accounts.open(q.account, now).fail(&accountLimit, now)
		g.mu.strangers.open(q.pair, now).seen = now
	}
}

// unparkLocked asks again for all parked log-ins, in the order in which they came.
func (g *guesses) unparkLocked(now time.Time) (begun []*login, refused []refusal) {
	left := g.mu.parked[:0]
	for _, l := range g.mu.parked {
		switch why := g.admitLocked(&l.guess, now); why {
		case admitted:
			begun = append(begun, l)
		case parked:
			left = append(left, l)
		default:
			refused = append(refused, refusal{l, why})
		}
	}
	clear(g.mu.parked[len(left):]) // a password is not kept for longer than it is needed
	g.mu.parked = left
	return begun, refused
}

// toldEvery is how often the block of one network is logged.
const toldEvery = time.Minute

// tells reports whether a refusal of this network is to be logged: one in a minute is, and a
// guesser does not fill the log.
func (g *guesses) tells(network netip.Prefix) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	n := g.mu.networks.open(network, now)
	if now.Sub(n.told) < toldEvery {
		return false
	}
	n.told, n.seen = now, now
	return true
}
