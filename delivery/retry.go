package delivery

import (
	"encoding/binary"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/postroad/postroad/internal/mail"
)

// Retry says when a recipient is tried again.
type Retry struct {
	// Schedule holds the waiting times after the first, second ... failed attempt; the last repeats
	// (default 1m 5m 15m 30m 1h 2h 4h). Up to an eighth is added or taken at random, so that what
	// failed together does not return together.
	Schedule []time.Duration
	// Expire is the age at which a recipient is given up (default 5d; RFC 5321 4.5.4.1 asks for at
	// least 4-5 days).
	Expire time.Duration
	// DelayWarning is the age at which the sender is told of a delay; 0 means never.
	DelayWarning time.Duration
}

// next returns when to try again after an attempt that failed now, when there were n before it. It
// returns false when time is up. The last attempt is made just before that.
func (r *Retry) next(u draw, n int, arrived, now time.Time) (due time.Time, ok bool) {
	last := arrived.Add(r.Expire - min(2*time.Minute, r.Expire/100))
	if !now.Before(last) {
		return due, false
	}
	wait := r.Schedule[min(n, len(r.Schedule)-1)]
	return earlier(last, now.Add(u.around(wait))), true
}

// quickly returns how soon to try again what our own store could not take: it is a matter of
// seconds, such as an election. n is how many attempts there were before.
func quickly(u draw, n int) time.Duration { return u.above(time.Second << min(n, 8)) }

// earlier returns the earlier of two times.
func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// jitter spreads what failed together, so that it does not return together. Safe for use by several
// goroutines.
type jitter struct{ seed uint64 }

// newJitter returns the jitter of a seed, the same each time; 0 means a random one.
func newJitter(seed uint64) jitter {
	if seed == 0 {
		seed = rand.Uint64()
	}
	return jitter{seed}
}

// of returns the draw of a message at a site after so many attempts. It is the same for all of its
// recipients: what was one transaction is one again.
func (j jitter) of(id mail.ID, attempts int, site string) draw {
	h := fnv.New64a()
	h.Write(id[:])
	h.Write(binary.AppendUvarint(make([]byte, 0, binary.MaxVarintLen64), uint64(attempts)))
	h.Write([]byte(site))
	return draw(rand.New(rand.NewPCG(j.seed, h.Sum64())).Float64())
}

// draw is a number from 0 to 1.
type draw float64

// around returns d with up to an eighth added or taken.
func (u draw) around(d time.Duration) time.Duration { return d - d/8 + u.of(d/4) }

// above returns d with up to a half added.
func (u draw) above(d time.Duration) time.Duration { return d + u.of(d/2) }

func (u draw) of(d time.Duration) time.Duration { return time.Duration(float64(u) * float64(d)) }

// newRand returns the random numbers of a seed, the same each time; 0 means random ones.
func newRand(seed uint64) *rand.Rand {
	if seed == 0 {
		seed = rand.Uint64()
	}
	return rand.New(rand.NewPCG(seed, seed^0x9e3779b97f4a7c15))
}
