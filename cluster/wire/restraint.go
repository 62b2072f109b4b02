package wire

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Raft and all who ask over HTTP dial again at once, each for itself: a node that was removed would
// be dialled 50 to 100 times a second until it ends, with a handshake each time. So a refusal holds
// for a while, which doubles with each further one.
const (
	firstRestraint = 40 * time.Millisecond
	// of who is refused as a member: it takes an operator, or a change in the list of members
	longRestraint = 2 * time.Second
	// of a group that is not there, and of who is not known yet: both are a matter of a moment
	shortRestraint = 250 * time.Millisecond
)

// restraint knows who refused a connection lately. It has at most an entry for each member and
// group since the last clear. Safe for use by several goroutines.
type restraint struct {
	mu sync.Mutex
	of map[target]*refused
}

// target is what was asked of a member; the zero preface: anything.
type target struct {
	member uint16
	pre    preface
}

type refused struct {
	address string
	err     error
	wait    time.Duration
	until   time.Time
}

// unfit marks what a certificate is refused for.
type unfit struct{ error }

func (u unfit) Unwrap() error { return u.error }

// held returns the last refusal while it holds for this address, nil when there is no such.
func (r *restraint) held(member uint16, address string, pre preface, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range [...]target{{member, preface{}}, {member, pre}} {
		if last := r.of[t]; last != nil && last.address == address && now.Before(last.until) {
			return fmt.Errorf("%w; it is asked again in %v", last.err,
				last.until.Sub(now).Round(time.Millisecond))
		}
	}
	return nil
}

// note takes note of how a dial ended. Who could not be reached is dialled as before: a member that
// starts again is not to be missed.
func (r *restraint) note(member uint16, address string, pre preface, err error, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	whole, one := target{member, preface{}}, target{member, pre}
	switch {
	case err == nil:
		delete(r.of, whole)
		delete(r.of, one)
	case forGood(err):
		r.refuse(whole, address, err, longRestraint, now)
	case errors.As(err, new(*Refusal)):
		r.refuse(one, address, err, shortRestraint, now)
	}
}

func (r *restraint) refuse(t target, address string, err error, most time.Duration, now time.Time) {
	last := r.of[t]
	if last == nil || last.address != address {
		last = &refused{address: address, wait: firstRestraint / 2}
	} else if now.Before(last.until) {
		return // another dial that had begun
	}
	last.wait, last.err = min(2*last.wait, most), err
	last.until = now.Add(last.wait/2 + rand.N(last.wait/2+1))
	if r.of == nil {
		r.of = map[target]*refused{}
	}
	r.of[t] = last
}

// clear forgets all: the list of members has changed.
func (r *restraint) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.of)
}

// forGood reports whether a side refuses the other as a member.
func forGood(err error) bool {
	return errors.Is(err, ErrFinal) || errors.As(err, new(final)) || errors.As(err, new(unfit)) ||
		errors.As(err, new(tls.AlertError))
}
