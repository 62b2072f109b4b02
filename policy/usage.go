package policy

import (
	"sync"
	"time"
)

// maxTracked bounds the users whose use is remembered. When there are more, the one who has the
// most left is forgotten, out of a few: that gives away the least.
const (
	maxTracked = 100_000
	sampled    = 16
)

// usage counts what users send, against token buckets: a user who was quiet may send a whole rate
// at once. Safe for use by several goroutines.
type usage struct {
	limit int
	now   clock
	mu    struct {
		sync.Mutex
		users map[string]*account
	}
}

type account struct {
	messages, recipients bucket
}

// bucket holds what is left of a rate. It is kept as the share that is used, so that a changed rate
// applies at once.
type bucket struct {
	used float64 // events
	at   time.Time
}

type verdict uint8

const (
	within verdict = iota
	tooManyMessages
	tooManyRecipients
)

func newUsage(limit int, now clock) *usage {
	u := &usage{limit: limit, now: now}
	u.mu.users = map[string]*account{}
	return u
}

// take takes one message and n recipients, or nothing when either is too many.
func (u *usage) take(user string, messages, recipients Rate, n int) verdict {
	if messages.N <= 0 && recipients.N <= 0 {
		return within
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	now := u.now() // under the lock: accounts never see time run backwards
	a := u.account(user)
	a.messages.drain(messages, now)
	a.recipients.drain(recipients, now)
	switch {
	case !a.messages.fits(messages, 1):
		return tooManyMessages
	case !a.recipients.fits(recipients, n):
		return tooManyRecipients
	}
	a.messages.used++
	a.recipients.used += float64(n)
	return within
}

// account returns a user's account; u.mu is held.
func (u *usage) account(user string) *account {
	a, ok := u.mu.users[user]
	if !ok {
		if len(u.mu.users) >= u.limit {
			u.forgetOne()
		}
		a = new(account)
		u.mu.users[user] = a
	}
	return a
}

// forgetOne uses that a map is walked in random order; u.mu is held.
func (u *usage) forgetOne() {
	var least string
	best, n := -1.0, 0
	for name, a := range u.mu.users {
		if used := a.messages.used + a.recipients.used; best < 0 || used < best {
			least, best = name, used
		}
		if n++; n == sampled {
			break
		}
	}
	delete(u.mu.users, least)
}

func (b *bucket) drain(r Rate, now time.Time) {
	if r.N <= 0 { // unlimited for now; a limit that comes starts afresh
		b.used, b.at = 0, now
		return
	}
	if passed := now.Sub(b.at); passed > 0 {
		b.used = max(0, b.used-float64(r.N)*float64(passed)/float64(r.Per))
		b.at = now
	}
}

func (b *bucket) fits(r Rate, n int) bool {
	return r.N <= 0 || b.used+float64(n) <= float64(r.N)+1e-6
}
