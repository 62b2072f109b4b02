package policy

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/smtpd"
)

const bob = "bob@l.example"

// town is a directory of bob and some neighbours, all with the password "secret", a clock, and what
// Auth told.
type town struct {
	*Auth
	users           users
	clock           *manual
	failed, blocked atomic.Int32
}

func newTown(t *testing.T, o AuthOptions) *town {
	w := &town{clock: newManual()}
	w.users.put(t, bob, "secret", func(u *directory.User) {
		var err error
		if u.Scram, err = directory.NewScram(bob, "secret"); err != nil {
			t.Fatal(err)
		}
	})
	for i := range 200 {
		w.users.put(t, neighbour(i), "secret")
	}
	o.Users, o.Now = &w.users, w.clock.Now
	o.Events = Events{LoginFailed: func(string, netip.Addr) { w.failed.Add(1) },
		LoginBlocked: func(string, netip.Addr) { w.blocked.Add(1) }}
	w.Auth = newAuth(t, o)
	return w
}

func neighbour(i int) string { return fmt.Sprintf("n%d@l.example", i) }

// botAddress is one of many addresses in networks of their own.
func botAddress(i int) string { return fmt.Sprintf("198.18.%d.%d", i>>8, i&255) }

func (w *town) login(from, user, password string) *smtp.Failure {
	_, f := plain(w.Auth, client(smtpd.Submission, from, ""), "", user, password)
	return f
}

// checked is whether an answer says if the password was right.
func checked(f *smtp.Failure) bool { return f == nil || f.Code == 535 }

// together begins n log-ins before it waits for the first answer. It returns how many were
// checked, and how many of these were right.
func (w *town) together(n int, from string, login func(i int) (user, password string)) (all,
	good int,
) {
	var mu sync.Mutex
	var answered sync.WaitGroup
	answered.Add(n)
	for i := range n {
		user, password := login(i)
		w.Plain(client(smtpd.Submission, from, ""), "", user, password,
			func(u *smtpd.User, f *smtp.Failure) {
				mu.Lock()
				defer mu.Unlock()
				if checked(f) {
					all++
				}
				if f == nil {
					good++
				}
				answered.Done()
			})
	}
	answered.Wait()
	return all, good
}

const (
	home     = "203.0.113.5"
	stranger = "198.51.100.9"
)

// TestBlockComesBeforeTheCache: a blocked client learns nothing of a user who logged in a moment
// ago, be it a stranger or at the user's own network. The log has a line a minute of it.
func TestBlockComesBeforeTheCache(t *testing.T) {
	for _, from := range []string{stranger, home} {
		w := newTown(t, AuthOptions{})
		wantCode(t, "bob", w.login(home, bob, "secret"), 0, "")
		n := 0
		for i := range 1000 {
			if checked(w.login(from, bob, fmt.Sprint("guess", i))) {
				n++
			}
		}
		f := w.login(from, bob, "secret")
		wantCode(t, from+": the right guess of a blocked client", f, 454, "4.7.0")
		if f != nil && !f.Close {
			t.Error("the connection stays open")
		}
		t.Logf("%s: of 1000 guesses %d were checked, %d lines logged", from, n, w.blocked.Load())
		if n != networkLimit.free {
			t.Errorf("%d guesses were checked, want %d", n, networkLimit.free)
		}
		if w.blocked.Load() != 1 {
			t.Errorf("%d lines, want 1", w.blocked.Load())
		}
	}
}

// TestBlockIsLoggedOnceAMinute is about many addresses at one slow account, too.
func TestBlockIsLoggedOnceAMinute(t *testing.T) {
	w := newTown(t, AuthOptions{})
	for range 10 {
		for i := range 50 {
			w.login(stranger, bob, fmt.Sprint("guess", i, w.clock.Now()))
		}
		w.clock.add(time.Minute)
	}
	if n := w.blocked.Load(); n < 8 || n > 10 {
		t.Errorf("%d lines in ten minutes", n)
	}
}

// TestCacheCountsForItsNetwork: a log-in of one network spares another one no hash.
func TestCacheCountsForItsNetwork(t *testing.T) {
	w := newTown(t, AuthOptions{})
	w.login(home, bob, "secret")
	u, _ := w.users.Get(bob)
	mac := w.cache.mac(u, bob, "secret")
	for from, want := range map[string]bool{home: true, "203.0.113.6": false} {
		at := pair{bob, networkOf(netip.MustParseAddr(from))}
		if hit, _ := w.cache.look(at, &mac); hit != want {
			t.Errorf("%s: answered from the cache %v, want %v", from, hit, want)
		}
	}
}

// TestParallelGuesses: guesses count from their begin, so that those that come at once are no more
// than those that come one by one.
func TestParallelGuesses(t *testing.T) {
	for what, owner := range map[string]bool{"a stranger": false, "at the owner's network": true} {
		w := newTown(t, AuthOptions{Workers: 4})
		if owner {
			w.login(home, bob, "secret")
		}
		n, _ := w.together(200, home, func(i int) (string, string) {
			return bob, fmt.Sprint("guess", i)
		})
		t.Logf("%s: %d of 200 guesses were checked", what, n)
		if n != networkLimit.free {
			t.Errorf("%s: %d of 200 guesses were checked, want %d", what, n, networkLimit.free)
		}
	}
}

// TestParallelLoginsOfAnOffice: that guesses count from their begin costs honest users nothing.
func TestParallelLoginsOfAnOffice(t *testing.T) {
	w := newTown(t, AuthOptions{Workers: 4})
	for range 2 { // by hash, and from the cache
		if _, n := w.together(200, home, func(i int) (string, string) {
			return neighbour(i), "secret"
		}); n != 200 {
			t.Errorf("%d of 200 users could log in", n)
		}
	}
	for i := range networkLimit.free - 1 { // one more failure blocks
		w.login(home, "nobody@l.example", fmt.Sprint(i))
	}
	if _, n := w.together(100, home, func(i int) (string, string) {
		return neighbour(i), "secret"
	}); n != 100 {
		t.Errorf("short of a block %d of 100 users could log in", n)
	}
}

// TestGuessesAtOneAccount: 60 addresses with four guesses each, and then a botnet for an hour. The
// owner notices nothing where he has logged in before, and little at a new place.
func TestGuessesAtOneAccount(t *testing.T) {
	w := newTown(t, AuthOptions{})
	w.login(home, bob, "secret")
	n := 0
	for i := range 240 {
		if checked(w.login(botAddress(i%60), bob, fmt.Sprint("guess", i))) {
			n++
		}
	}
	t.Logf("60 addresses: %d of 240 guesses were checked", n)
	if n != accountLimit.free {
		t.Errorf("60 addresses: %d guesses were checked, want %d", n, accountLimit.free)
	}
	w.clock.add(11 * time.Minute) // the cache has forgotten bob
	wantCode(t, "the owner at home", w.login(home, bob, "secret"), 0, "")
	wantCode(t, "the owner at home mistypes", w.login(home, bob, "secrte"), 535, "5.7.8")
	wantCode(t, "the owner at home", w.login(home, bob, "secret"), 0, "")
	// A new place, while 60 addresses ask every second, always before the owner: each of the 30
	// that have not been heard yet is in the way once, for half a minute.
	waited := 0
	bots := func() {
		for i := range 60 {
			w.login(botAddress(i), bob, fmt.Sprint("again", i, waited))
		}
	}
	bots()
	for w.login("192.0.2.77", bob, "secret") != nil && waited < 3600 {
		w.clock.add(time.Second)
		waited++
		bots()
	}
	t.Logf("the owner waited %d s at a new place", waited)
	if waited > 30*30 {
		t.Errorf("the owner waited %d s at a new place", waited)
	}
}

// TestGuessesInAnHour: what a botnet gets at one account, and one network at one or many.
func TestGuessesInAnHour(t *testing.T) {
	for _, c := range []struct {
		what      string
		addresses int
		account   func(i int) string
		most      int
	}{
		{"5,000 addresses at one account", 5000, func(int) string { return bob }, 160},
		{"one address at one account", 1, func(int) string { return bob }, 40},
		{"one address at many accounts", 1, func(i int) string { return neighbour(i % 200) }, 40},
	} {
		w := newTown(t, AuthOptions{})
		hours := [3]int{}
		tries := 0
		for h := range hours {
			for range 3600 / 5 {
				for range 5 { // a few tries a second on average, from addresses in turn
					if checked(w.login(botAddress(tries%c.addresses), c.account(tries),
						fmt.Sprint("guess", tries))) {
						hours[h]++
					}
					tries++
				}
				w.clock.add(5 * time.Second)
			}
		}
		t.Logf("%s: checked in the first three hours %v", c.what, hours)
		for _, n := range hours {
			if n > c.most {
				t.Errorf("%s: %v, want at most %d an hour", c.what, hours, c.most)
			}
		}
	}
}

// TestStalePassword: a device that repeats one wrong password does not lock its office out. Once
// the password is another one, it counts as another.
func TestStalePassword(t *testing.T) {
	w := newTown(t, AuthOptions{})
	good := 0
	for i := range 10 {
		for range 5 {
			wantCode(t, "the stale device", w.login(home, bob, "old"), 535, "5.7.8")
		}
		if w.login(home, neighbour(i), "secret") == nil {
			good++
		}
		w.clock.add(time.Minute)
	}
	t.Logf("%d of 10 right log-ins beside a stale device", good)
	if good != 10 {
		t.Errorf("%d of 10 right log-ins beside a stale device", good)
	}
	w.users.put(t, bob, "old") // what was wrong is right now
	wantCode(t, "after the password was put back", w.login(home, bob, "old"), 0, "")
}

// TestStaleScram: SCRAM does not show that a password is repeated. Who has logged in from the
// network before is not in its way even so.
func TestStaleScram(t *testing.T) {
	w := newTown(t, AuthOptions{})
	wantCode(t, "a neighbour", w.login(home, neighbour(1), "secret"), 0, "")
	w.clock.add(11 * time.Minute) // the cache has forgotten that
	codes := map[int]int{}
	for range 30 {
		_, _, f := converse(t, w.Auth, bob, "old", "", nil)
		codes[f.Code]++
	}
	if codes[535] != networkLimit.free {
		t.Errorf("%v", codes)
	}
	wantCode(t, "a neighbour", w.login(home, neighbour(1), "secret"), 0, "")
	wantCode(t, "a new neighbour", w.login(home, neighbour(2), "secret"), 454, "4.7.0")
}

// TestUnknownNamesAreAsSlow: that an account is slow does not tell that there is one.
func TestUnknownNamesAreAsSlow(t *testing.T) {
	w := newTown(t, AuthOptions{})
	answers := func(user string) (s string) {
		for i := range 50 {
			s += fmt.Sprint(w.login(botAddress(i), user, fmt.Sprint("guess", i)).Code, " ")
		}
		return s
	}
	if a, b := answers(bob), answers("eve@l.example"); a != b {
		t.Errorf("a user: %s\nnobody: %s", a, b)
	}
}

// TestGuessesAreBounded: each table keeps its bound, entries expire, and nothing stays under way.
func TestGuessesAreBounded(t *testing.T) {
	w := newTown(t, AuthOptions{Waiting: 20})
	g := w.guesses
	g.mu.networks.entries, g.mu.accounts.entries = 10, 11
	g.mu.owners.entries, g.mu.strangers.entries = 12, 13
	for i := range 1000 {
		w.login(botAddress(i), fmt.Sprintf("n%d@l.example", i), "guess")
		w.login(botAddress(i), neighbour(i%200), "secret")
	}
	if got := [4]int{len(g.mu.networks.m), len(g.mu.accounts.m), len(g.mu.owners.m),
		len(g.mu.strangers.m)}; got != [4]int{10, 11, 12, 13} {
		t.Errorf("entries %v", got)
	}
	for _, n := range g.mu.networks.m {
		if n.underWay != 0 {
			t.Error("a guess is still under way")
		}
	}
	for i := range 200 {
		w.login(botAddress(1000), bob, fmt.Sprint("guess", i))
		w.clock.add(10 * time.Minute)
	}
	if n := len(g.mu.networks.m[networkOf(netip.MustParseAddr(botAddress(1000)))].wrong); n == 0 ||
		n > maxWrong {
		t.Errorf("%d wrong pairs", n)
	}
	w.clock.add(31 * 24 * time.Hour)
	for i := range 5 {
		w.login(botAddress(2000+i), neighbour(i), "secret")
	}
	if a, b := len(g.mu.networks.m), len(g.mu.owners.m); a > 5 || b > 5 {
		t.Errorf("after a month there are %d networks and %d owners", a, b)
	}
	w.login("::", bob, "guess")
	plain(w.Auth, &smtpd.Client{}, "", bob, "x") // a client without an address does no harm
	if _, good := w.together(50, home, func(i int) (string, string) {
		return neighbour(i), "secret"
	}); good > 30+20 || len(g.mu.parked) != 0 {
		t.Errorf("%d log-ins, %d still parked", good, len(g.mu.parked))
	}
}

func TestFailuresBlockTheNetwork(t *testing.T) {
	u, now := new(users), newManual()
	guesses := 0
	guess := func() string { guesses++; return fmt.Sprint("guess", guesses) }
	u.put(t, "bob@l.example", "secret")
	u.put(t, "ann@l.example", "secret")
	var blocked atomic.Int32
	a := newAuth(t, AuthOptions{Users: u, Now: now.Now, CacheTTL: time.Hour,
		Trusted: func(ip netip.Addr) bool { return ip.String() == "10.0.0.1" },
		Events:  Events{LoginBlocked: func(string, netip.Addr) { blocked.Add(1) }}})
	c := client(smtpd.Submission, "2001:db8::1", "")
	neighbour, other, trusted := client(smtpd.Submission, "2001:db8::2", ""),
		client(smtpd.Submission, "2001:db8:0:1::1", ""), client(smtpd.Submission, "10.0.0.1", "")
	_, f := plain(a, c, "", "ann@l.example", "secret")
	wantCode(t, "ann", f, 0, "")
	for range networkLimit.free {
		_, f := plain(a, c, "", "bob@l.example", guess())
		wantCode(t, "a guess", f, 535, "5.7.8")
	}
	_, f = plain(a, neighbour, "", "bob@l.example", "secret")
	wantCode(t, "the same /64", f, 454, "4.7.0")
	_, f = plain(a, neighbour, "", "ann@l.example", "secret")
	wantCode(t, "an honest user who is known", f, 0, "")
	_, f = plain(a, other, "", "bob@l.example", guess())
	wantCode(t, "another network", f, 535, "5.7.8")
	if blocked.Load() != 1 {
		t.Errorf("%d blocks were told, want 1", blocked.Load())
	}
	var waits []time.Duration
	for range 12 { // each guess as soon as it is allowed
		start := now.Now()
		for {
			if _, f = plain(a, c, "", "bob@l.example", guess()); f.Code != 454 {
				break
			}
			now.add(time.Second)
		}
		waits = append(waits, now.Now().Sub(start))
	}
	if waits[0] > 2*time.Second || waits[5] < 10*time.Second || waits[11] < 4*time.Minute ||
		waits[11] > networkLimit.longest {
		t.Errorf("waits %v", waits)
	}
	now.add(24 * time.Hour)
	_, f = plain(a, c, "", "bob@l.example", guess())
	wantCode(t, "a day later", f, 535, "5.7.8")
	_, f = plain(a, c, "", "bob@l.example", "secret")
	wantCode(t, "a day later", f, 0, "")
	for range 3 * networkLimit.free {
		_, f := plain(a, trusted, "", "bob@l.example", guess())
		wantCode(t, "trusted", f, 535, "5.7.8")
	}
}
