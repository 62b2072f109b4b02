package policy

import (
	"cmp"
	"context"
	"crypto/rand"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/smtpd"
)

// AuthOptions are what Auth works with.
type AuthOptions struct {
	Users  Users
	Events Events
	// Named returns the name of the user whom a canonical address logs in, be it the own name or
	// another; nil: nothing but the own name does.
	Named func(address string) (name string, ok bool)
	// Outside checks the password of a user whose User.Source is not empty and who has no hash
	// here. It may take a while; an error is answered 454. nil: nobody can.
	Outside func(ctx context.Context, u *directory.User, password string) (bool, error)
	// Workers hash passwords; 0: half of the CPUs, at least one. Each needs the memory of one hash
	// (19 MiB).
	Workers int
	// Waiting is how many log-ins of users' networks, and how many of strangers', may wait for a
	// worker, and how many for others of their network or account to end; one more, or who has most
	// of these places, is answered 454. 0: 256.
	Waiting int
	// CacheTTL is how long a successful log-in spares the next one its hash; 0: ten minutes.
	CacheTTL time.Duration
	// CacheSize is how many users, at one network each, are remembered so; 0: 10,000.
	CacheSize int
	// Trusted networks are never blocked for failed log-ins, and theirs count against no account: a
	// web mail server's users share its address. nil: none.
	Trusted func(netip.Addr) bool
	// Current is that of Options: until it is so, nobody is told for good that the name or the
	// password is wrong. nil: it always is.
	Current func() bool
	// ScramSecret makes up salts for users who are not there. All nodes should have the same, and
	// keep it, or a stranger can tell from a salt that changes that it was made up. nil: random.
	ScramSecret func() []byte
	// ScramForms are what users' SCRAM keys look like, as Directory.Forms; nil: as ours.
	ScramForms func() []directory.Form
	// Cost of the hash that is computed for users who are not there; it should be that of most
	// users. Zero: the default.
	Cost directory.Cost
	Now  func() time.Time // nil: time.Now
}

// Auth implements smtpd.Authenticator. Safe for use by several goroutines.
type Auth struct {
	users   Users
	named   func(string) (string, bool)
	events  Events
	now     clock
	trusted func(netip.Addr) bool
	current func() bool
	dummy   directory.User // with a hash that no password has
	cache   *loginCache
	guesses *guesses
	scram   *scramServer

	outside func(ctx context.Context, u *directory.User, password string) (bool, error)

	workers sync.WaitGroup
	jobs    *line
	asks    *line // those that are checked outside
	closing atomic.Bool
}

var _ smtpd.Authenticator = (*Auth)(nil)

// login is one password to check. It holds nothing of the session but the answer's way back.
type login struct {
	guess
	said     string // the user name as the client gave it
	password string
	client   netip.Addr
	mac      [32]byte // the login cache's, once the log-in has begun
	compared bool     // the login cache had another password to compare with
	done     func(*smtpd.User, *smtp.Failure)
}

var (
	failCredentials = smtp.Perm(smtp.AuthInvalid, "5.7.8", "The user name or the password is wrong")
	failBusy        = smtp.Temp(smtp.TempAuthFailure, "4.7.0",
		"Too many log-ins at this moment; try again soon")
	failBlocked = ends("Too many failed log-ins from your network; try again later")
	failSlow    = ends("Too many failed log-ins of this user; try again later")
	failBadHash = smtp.Temp(smtp.TempAuthFailure, "4.7.0",
		"Your password cannot be checked now; ask your postmaster")
	failNotKnown = smtp.Temp(smtp.TempAuthFailure, "4.3.2",
		"It is not known just now who the users are; try again soon")
	failOutside = smtp.Temp(smtp.TempAuthFailure, "4.7.0",
		"Your password cannot be checked now; try again soon")
	failClosing = smtp.Temp(smtp.TempAuthFailure, "4.3.2",
		"The server is stopping; try again soon")
)

// ends makes the answer to a log-in that is not tried: the connection ends with it, so that each
// guess at a closed door costs one. 454 is RFC 4954 section 6's. Auth logs such refusals, not each,
// and the session none.
func ends(text string) *smtp.Failure {
	f := smtp.Temp(smtp.TempAuthFailure, "4.7.0", text).With(smtp.ErrLogged)
	f.Close = true
	return f
}

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
		dummy: directory.User{Hash: dummy}, named: o.Named}
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
	a.guesses = newGuesses(orInt(o.Waiting, 256), a.now)
	a.scram = newScramServer(o.ScramSecret, o.ScramForms)
	a.jobs, a.asks = newLine(orInt(o.Waiting, 256)), newLine(orInt(o.Waiting, 256))
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
	a.closing.Store(true)
	a.jobs.close()
	a.asks.close()
	a.workers.Wait()
}

// Plain checks a password, if a guess is due at all. Only then it is compared, with the login cache
// too: an answer that a blocked client could have from there would tell it a right password. What
// the cache does not know takes one hash, whether the user exists or not.
func (a *Auth) Plain(
	c *smtpd.Client, authzid, user, password string, done func(*smtpd.User, *smtp.Failure),
) {
	l := &login{guess: a.newGuess(c.Addr.Addr()), said: user, password: password,
		client: c.Addr.Addr(), done: done}
	if name, ok := a.loginName(c.LoginDomain, authzid, user); ok {
		l.account = name
	}
	switch why := a.guesses.begin(l); why {
	case admitted:
		a.run(l)
	case parked: // whoever ends first runs it
	default:
		a.refuse(refusal{l, why})
	}
}

func (a *Auth) newGuess(client netip.Addr) guess {
	exempt := a.trusted(client)
	return guess{pair: pair{network: networkOf(client)}, exempt: exempt, known: exempt}
}

// run goes on with log-ins that have begun, and with those that begin because of them.
func (a *Auth) run(begun ...*login) {
	for len(begun) > 0 {
		l := begun[0]
		begun = append(begun[1:], a.proceed(l)...)
	}
}

// proceed answers a log-in from memory or hands it to a worker. It returns those that begin
// because this one ended.
func (a *Auth) proceed(l *login) []*login {
	u := a.active(l.account)
	l.mac = a.cache.mac(u, l.account, l.password)
	var hit bool
	if hit, l.compared = a.cache.look(l.pair, &l.mac); u != nil && hit {
		return a.end(l, right, known(u), nil)
	}
	outside := u != nil && a.isOutside(u)
	// A password that was wrong stays so until the user changes; another server's may change.
	if !outside && a.current() && a.guesses.repeats(&l.guess, &l.mac) {
		return a.end(l, wrong, nil, a.failed(l.name(), l.client))
	}
	to := a.jobs
	if outside {
		to = a.asks
	}
	switch lost, open := to.join(l); {
	case !open:
		return a.unserved(l, failClosing)
	case lost != nil:
		return a.unserved(lost, failBusy)
	}
	return nil
}

// unserved ends a log-in that no worker will check. What the cache said of it has been told by the
// time that the answer takes, so it counts.
func (a *Auth) unserved(l *login, f *smtp.Failure) []*login {
	if !l.compared {
		return a.end(l, unchecked, nil, f)
	}
	begun, refused := a.guesses.end(&l.guess, wrong, nil)
	return a.answer(l, nil, f, begun, refused)
}

// end takes the outcome of a log-in, answers it and those that are refused because of it, and
// returns those that begin.
func (a *Auth) end(l *login, o outcome, u *smtpd.User, f *smtp.Failure) []*login {
	begun, refused := a.guesses.end(&l.guess, o, &l.mac)
	return a.answer(l, u, f, begun, refused)
}

func (a *Auth) answer(
	l *login, u *smtpd.User, f *smtp.Failure, begun []*login, refused []refusal,
) []*login {
	l.done(u, f)
	for _, r := range refused {
		a.refuse(r)
	}
	return begun
}

// refuse answers a log-in that is not tried.
func (a *Auth) refuse(r refusal) { r.done(nil, a.refusal(r.why, r.said, r.client)) }

func (a *Auth) refusal(why admission, user string, client netip.Addr) *smtp.Failure {
	if why == tooManyParked {
		return failBusy
	}
	if a.events.LoginBlocked != nil && a.guesses.tells(networkOf(client)) {
		a.events.LoginBlocked(user, client)
	}
	if why == accountSlow {
		return failSlow
	}
	return failBlocked
}

func (a *Auth) work(jobs *line) {
	for l := jobs.next(); l != nil; l = jobs.next() {
		o, u, f := a.check(l)
		a.run(a.end(l, o, u, f)...)
	}
}

// check does the work of one log-in on a worker.
func (a *Auth) check(l *login) (outcome, *smtpd.User, *smtp.Failure) {
	if a.closing.Load() {
		return unchecked, nil, failClosing
	}
	u := a.active(l.account)
	if u != nil {
		// Many connections of one user came at once, and one of them was before us.
		l.mac = a.cache.mac(u, l.account, l.password)
		if hit, _ := a.cache.look(l.pair, &l.mac); hit {
			return right, known(u), nil
		}
	}
	ok, f := a.verify(u, l.password)
	if f != nil {
		return unchecked, nil, f
	}
	if ok && u != nil {
		// The user may have been changed while we hashed.
		if again := a.active(l.account); again != nil && again.Version == u.Version {
			a.cache.add(l.pair, l.mac)
			return right, known(u), nil
		}
	}
	if !a.current() {
		return unchecked, nil, failNotKnown
	}
	return wrong, nil, a.failed(l.name(), l.client)
}

// name is the user whom a log-in means, or what it said if that can be nobody's name.
func (l *login) name() string { return cmp.Or(l.account, l.said) }

// failed tells of a wrong log-in and returns the answer to it.
func (a *Auth) failed(user string, client netip.Addr) *smtp.Failure {
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

// loginName returns the canonical name of the user whom a client means, and false when there can be
// no such user. domain is that of names without one; "": none. To act for somebody else (authzid,
// RFC 4616 2) is nobody's right here.
func (a *Auth) loginName(domain, authzid, user string) (string, bool) {
	name, ok := a.meant(domain, user)
	if !ok {
		return "", false
	}
	if authzid != "" {
		if other, ok := a.meant(domain, authzid); !ok || other != name {
			return "", false
		}
	}
	return name, true
}

// meant is the user of one name, by whichever address: so all guesses at a user count together.
func (a *Auth) meant(domain, said string) (name string, ok bool) {
	if domain != "" && !strings.Contains(said, "@") {
		said += "@" + domain
	}
	name, err := directory.Canonical(said)
	if err != nil {
		return "", false
	}
	if a.named == nil {
		return name, true
	}
	if other, ok := a.named(name); ok {
		name = other
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
