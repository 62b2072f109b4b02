package policy

import (
	"context"
	"crypto/rand"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/smtpd"
)

// AuthOptions are what Auth works with.
type AuthOptions struct {
	Users  Users
	Events Events
	// Outside checks the password of a user whose User.Source is not empty and who has no hash
	// here. It may take a while; an error is answered 454. nil: nobody can.
	Outside func(ctx context.Context, u *directory.User, password string) (bool, error)
	// Workers hash passwords; 0: half of the CPUs, at least one. Each needs the memory of one hash
	// (19 MiB).
	Workers int
	// Waiting is how many log-ins may wait for a worker; one more is answered 454. 0: 256.
	Waiting int
	// CacheTTL is how long a successful log-in spares the next one its hash; 0: ten minutes.
	CacheTTL time.Duration
	// CacheSize is how many users are remembered so; 0: 10,000.
	CacheSize int
	// Trusted networks are never blocked for failed log-ins: a web mail server's users share its
	// address. nil: none.
	Trusted func(netip.Addr) bool
	// Current is that of Options: until it is so, nobody is told for good that the name or the
	// password is wrong. nil: it always is.
	Current func() bool
	// ScramSecret makes up salts for users who are not there. All nodes should have the same, and
	// keep it, or a stranger can tell from a salt that changes that it was made up. nil: random.
	ScramSecret []byte
	// Cost of the hash that is computed for users who are not there; it should be that of most
	// users. Zero: the default.
	Cost directory.Cost
	Now  func() time.Time // nil: time.Now
}

// Auth implements smtpd.Authenticator. Safe for use by several goroutines.
type Auth struct {
	users    Users
	events   Events
	now      clock
	trusted  func(netip.Addr) bool
	current  func() bool
	dummy    directory.User // with a hash that no password has
	cache    *loginCache
	failures *failures
	scram    *scramServer

	outside func(ctx context.Context, u *directory.User, password string) (bool, error)

	workers sync.WaitGroup
	jobs    chan login // sent to, without waiting, and closed under mu
	asks    chan login // those that are checked outside; as jobs
	mu      struct {
		sync.Mutex
		closed bool
	}
}

var _ smtpd.Authenticator = (*Auth)(nil)

// login is one password to check. It holds nothing of the session but the answer's way back.
type login struct {
	name, password string
	client         netip.Addr
	outside        bool
	done           func(*smtpd.User, *smtp.Failure)
}

var (
	failCredentials = smtp.Perm(smtp.AuthInvalid, "5.7.8", "The user name or the password is wrong")
	failBusy        = smtp.Temp(smtp.TempAuthFailure, "4.7.0",
		"Too many log-ins at this moment; try again soon")
	failBlocked = smtp.Temp(smtp.TempAuthFailure, "4.7.0",
		"Too many failed log-ins from your network; try again later")
	failBadHash = smtp.Temp(smtp.TempAuthFailure, "4.7.0",
		"Your password cannot be checked now; ask your postmaster")
	failNotKnown = smtp.Temp(smtp.TempAuthFailure, "4.3.2",
		"It is not known just now who the users are; try again soon")
	failOutside = smtp.Temp(smtp.TempAuthFailure, "4.7.0",
		"Your password cannot be checked now; try again soon")
	failClosing = smtp.Temp(smtp.TempAuthFailure, "4.3.2",
		"The server is stopping; try again soon")
)

// NewAuth starts the workers. Close ends them.
func NewAuth(o AuthOptions) (*Auth, error) {
	if o.Cost == (directory.Cost{}) {
		o.Cost = directory.DefaultCost
	}
	dummy, err := directory.HashPassword(rand.Text(), o.Cost)
	if err != nil {
		return nil, err
	}
	a := &Auth{users: o.Users, events: o.Events, now: o.Now, trusted: o.Trusted, current: o.Current,
		dummy: directory.User{Hash: dummy}}
	if a.now == nil {
		a.now = time.Now
	}
	if a.trusted == nil {
		a.trusted = func(netip.Addr) bool { return false }
	}
	if a.current == nil {
		a.current = func() bool { return true }
	}
	a.cache = newLoginCache(orInt(o.CacheSize, 10_000), orTime(o.CacheTTL, 10*time.Minute), a.now)
	a.failures = newFailures(maxNetworks, a.now)
	a.scram = newScramServer(o.ScramSecret)
	a.jobs = make(chan login, orInt(o.Waiting, 256))
	a.asks = make(chan login, orInt(o.Waiting, 256))
	for range orInt(o.Workers, max(1, runtime.GOMAXPROCS(0)/2)) {
		a.workers.Go(func() { a.work(a.jobs) })
	}
	if a.outside = o.Outside; a.outside != nil {
		for range outsideWorkers {
			a.workers.Go(func() { a.work(a.asks) })
		}
	}
	return a, nil
}

// Close answers the log-ins that wait with 454 and ends the workers.
func (a *Auth) Close() {
	a.mu.Lock()
	if !a.mu.closed {
		a.mu.closed = true
		close(a.jobs)
		close(a.asks)
	}
	a.mu.Unlock()
	a.workers.Wait()
}

// Plain checks a password. A log-in that succeeded lately is answered at once, also from a network
// that is blocked, so that a guesser beside honest users does not lock them out. Everything else
// takes one hash, whether the user exists or not.
func (a *Auth) Plain(
	c *smtpd.Client, authzid, user, password string, done func(*smtpd.User, *smtp.Failure),
) {
	name, ok := loginName(authzid, user)
	u := a.active(name)
	if u != nil && a.cache.has(u, password) {
		done(known(u), nil)
		return
	}
	client := c.Addr.Addr()
	if a.blocked(user, client) {
		done(nil, failBlocked)
		return
	}
	if !ok {
		name = "" // nobody's
	}
	if f := a.enqueue(login{name: name, password: password, client: client, outside: u != nil &&
		a.isOutside(u), done: done}); f != nil {
		done(nil, f)
	}
}

func (a *Auth) enqueue(l login) *smtp.Failure {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mu.closed {
		return failClosing
	}
	to := a.jobs
	if l.outside {
		to = a.asks
	}
	select {
	case to <- l:
		return nil
	default:
		return failBusy
	}
}

func (a *Auth) work(jobs <-chan login) {
	for l := range jobs {
		l.done(a.check(l))
	}
}

func (a *Auth) closing() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.mu.closed
}

// check does the work of one log-in on a worker.
func (a *Auth) check(l login) (*smtpd.User, *smtp.Failure) {
	if a.closing() {
		return nil, failClosing
	}
	u := a.active(l.name)
	// many connections of one user came at once, and one of them was before us
	if u != nil && a.cache.has(u, l.password) {
		return known(u), nil
	}
	ok, f := a.verify(u, l.password)
	switch {
	case f != nil:
		return nil, f
	case !ok || u == nil:
		return nil, a.failed(l.name, l.client)
	}
	// The user may have been changed while we hashed.
	if again := a.active(l.name); again == nil || again.Version != u.Version {
		return nil, a.failed(l.name, l.client)
	}
	a.cache.add(u, l.password)
	return known(u), nil
}

// blocked reports whether a log-in from client is not even tried now.
func (a *Auth) blocked(user string, client netip.Addr) bool {
	if a.trusted(client) || !a.failures.blocked(client) {
		return false
	}
	if a.events.LoginBlocked != nil {
		a.events.LoginBlocked(user, client)
	}
	return true
}

func (a *Auth) failed(user string, client netip.Addr) *smtp.Failure {
	if !a.current() {
		return failNotKnown
	}
	if !a.trusted(client) {
		a.failures.failed(client)
	}
	if a.events.LoginFailed != nil {
		a.events.LoginFailed(user, client)
	}
	return failCredentials
}

// active returns a user who may log in, or nil.
func (a *Auth) active(name string) *directory.User {
	if u, ok := a.users.Get(name); ok && !u.Disabled {
		return u
	}
	return nil
}

// loginName returns the canonical name, and false when there can be no such user. To act for
// somebody else (authzid, RFC 4616 2) is nobody's right here.
func loginName(authzid, user string) (string, bool) {
	name, err := directory.Canonical(user)
	if err != nil {
		return "", false
	}
	if authzid != "" {
		if other, err := directory.Canonical(authzid); err != nil || other != name {
			return "", false
		}
	}
	return name, true
}

func known(u *directory.User) *smtpd.User { return &smtpd.User{Name: u.Name, Tenant: u.Tenant} }

func orInt(n, otherwise int) int {
	if n > 0 {
		return n
	}
	return otherwise
}

func orTime(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}
