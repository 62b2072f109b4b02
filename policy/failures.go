package policy

import (
	"math"
	"net/netip"
	"time"
)

// limit says how often a client may fail, and what follows. Only time forgives: a guesser who could
// wipe out failures by logging in to an account of their own would do so.
type limit struct {
	free     int           // failures without a wait
	first    time.Duration // the wait after those; it doubles with each further failure
	longest  time.Duration
	forgives time.Duration // one failure less in each
	keep     time.Duration // an entry that nothing has touched for so long is void
	entries  int           // beyond it, what matters least out of a few goes
}

const forgiveEvery = 6 * time.Minute

// beyondFree bounds what is counted: a guesser of days is forgiven as soon as one of an hour.
const beyondFree = 10

// Less than ten failures are between the session and its client. An account bears more, from all
// networks that it does not know: its wait stays short, so that its owner finds a gap from a new
// place.
var (
	networkLimit = limit{free: 10, first: time.Second, longest: 15 * time.Minute,
		forgives: forgiveEvery, keep: 20 * forgiveEvery, entries: 50_000}
	accountLimit = limit{free: 30, first: time.Second, longest: 30 * time.Second,
		forgives: forgiveEvery, keep: 40 * forgiveEvery, entries: 50_000}
	ownerLimit = limit{free: 10, first: time.Second, longest: 15 * time.Minute,
		forgives: forgiveEvery, keep: 30 * 24 * time.Hour, entries: 100_000}
	// At an account that is slow, a network that has failed waits for its entry to be void.
	strangerLimit = limit{keep: time.Hour, entries: 100_000}
	// A network where somebody has logged in waits apart from strangers.
	knownLimit = limit{keep: ownerLimit.keep, entries: 50_000}
)

// Wrong pairs that are remembered of a network, and for how long after they were last tried.
const (
	maxWrong  = 32
	wrongKept = time.Hour
)

// failing is what is remembered of a network, of an account, or of both as a pair.
type failing struct {
	count    float64 // failures, less one for each limit.forgives since last
	last     time.Time
	until    time.Time // no log-in is tried before
	seen     time.Time // limit.keep runs from here
	underWay int       // guesses that have begun and not ended
	told     time.Time // of a network: when its block was last logged
	wrong    []wrongPair
}

// wrongPair is an account and a password that do not belong together, as the login cache's HMAC.
type wrongPair struct {
	mac [32]byte
	at  time.Time // when it was last tried
}

func (n *failing) blocked(now time.Time) bool { return n != nil && now.Before(n.until) }

func (n *failing) left(l *limit, now time.Time) float64 {
	return max(0, n.count-float64(now.Sub(n.last))/float64(l.forgives))
}

// failures is how many failures are not forgiven yet.
func (n *failing) failures(l *limit, now time.Time) int {
	if n == nil {
		return 0
	}
	return int(math.Ceil(n.left(l, now)))
}

// slow reports whether the next failure, or the last one, costs a wait.
func (n *failing) slow(l *limit, now time.Time) bool {
	return n != nil && n.left(l, now) >= float64(l.free)
}

// undecided reports whether it depends on guesses under way if one more may begin.
func (n *failing) undecided(l *limit, now time.Time) bool {
	return n != nil && n.underWay > 0 && n.left(l, now)+float64(n.underWay) >= float64(l.free)
}

func (n *failing) fail(l *limit, now time.Time) {
	n.count = min(n.left(l, now)+1, float64(l.free+beyondFree))
	n.last, n.seen = now, now
	if over := int(n.count) - l.free; over >= 0 {
		n.until = now.Add(min(l.first<<over, l.longest))
	}
}

// repeats reports whether a pair is known to be wrong.
func (n *failing) repeats(mac *[32]byte, now time.Time) bool {
	for i := range n.wrong {
		if n.wrong[i].mac == *mac {
			return now.Sub(n.wrong[i].at) < wrongKept
		}
	}
	return false
}

// note remembers a wrong pair in the place of the same, or of the oldest when there is no room.
func (n *failing) note(mac *[32]byte, now time.Time) {
	at := 0
	for i := range n.wrong {
		if n.wrong[i].mac == *mac {
			n.wrong[i].at = now
			return
		}
		if n.wrong[i].at.Before(n.wrong[at].at) {
			at = i
		}
	}
	if len(n.wrong) < maxWrong {
		n.wrong = append(n.wrong, wrongPair{*mac, now})
		return
	}
	n.wrong[at] = wrongPair{*mac, now}
}

// table holds the entries of one kind. Guarded by the mutex of guesses.
type table[K comparable] struct {
	limit
	m map[K]*failing
}

func newTable[K comparable](l limit) table[K] { return table[K]{l, map[K]*failing{}} }

// get returns an entry, or nil when there is none or it is void.
func (t *table[K]) get(key K, now time.Time) *failing {
	n := t.m[key]
	if n == nil || t.void(n, now) {
		return nil
	}
	return n
}

func (t *table[K]) void(n *failing, now time.Time) bool {
	return n.underWay == 0 && now.Sub(n.seen) >= t.keep
}

// open returns an entry, which it makes when there is none.
func (t *table[K]) open(key K, now time.Time) *failing {
	n := t.get(key, now)
	if n == nil {
		t.makeRoom(now)
		n = &failing{seen: now}
		t.m[key] = n
	}
	return n
}

// makeRoom drops what is void out of a few entries, and, when the table is full, the one of them
// with the fewest failures, the one longest unseen among equals. It uses that a map is walked in
// random order. An entry with a guess under way stays: those are bounded elsewhere.
func (t *table[K]) makeRoom(now time.Time) {
	var least K
	var best *failing
	looked := 0
	for key, n := range t.m {
		if t.void(n, now) {
			delete(t.m, key)
		} else if n.underWay == 0 && (best == nil || n.count < best.count ||
			n.count == best.count && n.seen.Before(best.seen)) {
			least, best = key, n
		}
		if looked++; looked == sampled {
			break
		}
	}
	if best != nil && len(t.m) >= t.entries {
		delete(t.m, least)
	}
}

func networkOf(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap().WithZone("")
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	p, _ := ip.Prefix(bits) // fails for the zero Addr only, which is a network of its own
	return p
}
