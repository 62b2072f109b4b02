package policy

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/smtpd"
)

// checkTakes is what a log-in costs in these tests, all workers together: that of a hash on one
// core.
const checkTakes = 47 * time.Millisecond

// newSlowTown has users who are checked outside, in virtual time.
func newSlowTown(t *testing.T) *Auth {
	u := new(users)
	for i := range 600 {
		u.m.Store(neighbour(i), &directory.User{Name: neighbour(i), Source: "list", Version: 1})
	}
	return newAuth(t, AuthOptions{Users: u, CacheTTL: time.Second,
		Outside: func(_ context.Context, _ *directory.User, password string) (bool, error) {
			time.Sleep(outsideWorkers * checkTakes)
			return password == "secret", nil
		}})
}

// waits is how long a right log-in takes.
func waits(t *testing.T, a *Auth, from, user string) time.Duration {
	t.Helper()
	begin := time.Now()
	_, f := plain(a, client(smtpd.Submission, from, ""), "", user, "secret")
	if f != nil {
		t.Errorf("%s from %s: %v", user, from, f)
	}
	return time.Since(begin)
}

// TestFloodOfManyNetworks: 500 networks guess without a pause, each at an account of its own, so
// that no count stops them for a while. Whoever has logged in before waits for what is under way,
// and somebody at a new place for hardly more.
func TestFloodOfManyNetworks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newSlowTown(t)
		defer a.Close()
		waits(t, a, home, neighbour(550))
		var over atomic.Bool
		defer over.Store(true)
		flood(a, 500, &over)
		time.Sleep(30 * time.Second) // each has had a turn; the cache has forgotten
		for what, in := range map[string][2]string{
			"the owner":                  {home, neighbour(550)},
			"another user, same network": {home, neighbour(551)},
			"a user at a new place":      {"192.0.2.77", neighbour(552)},
		} {
			took := waits(t, a, in[0], in[1])
			t.Logf("%s waited %v", what, took)
			if took > 4*outsideWorkers*checkTakes {
				t.Errorf("%s waited %v", what, took)
			}
		}
	})
}

// flood begins a guess from each network, and the next one a second after one is answered, until
// that network has to wait.
func flood(a *Auth, networks int, over *atomic.Bool) {
	for i := range networks {
		from := client(smtpd.Submission, fmt.Sprintf("198.%d.%d.9", 18+i>>8, i&255), "")
		var guess func(n int)
		guess = func(n int) {
			a.Plain(from, "", neighbour(i), fmt.Sprint("guess ", n),
				func(_ *smtpd.User, f *smtp.Failure) {
					if !over.Load() && (f == failBusy || f == failCredentials) {
						time.AfterFunc(time.Second, func() { guess(n + 1) })
					}
				})
		}
		guess(0)
	}
}

func waiter(from, account string, failures int, known bool) *login {
	l := &login{}
	l.network, l.account = networkOf(netip.MustParseAddr(from)), account
	l.failures, l.known = failures, known
	return l
}

func order(q *line) (accounts []string) {
	q.close()
	for l := q.next(); l != nil; l = q.next() {
		accounts = append(accounts, l.account)
	}
	return accounts
}

// TestTurns: networks and accounts take turns, those that have failed least come first, and
// strangers have one turn of four.
func TestTurns(t *testing.T) {
	for what, in := range map[string]struct {
		logins []*login
		want   string
	}{
		"networks": {[]*login{waiter("192.0.2.1", "a1", 0, false),
			waiter("192.0.2.2", "a2", 0, false), waiter("192.0.2.3", "a3", 0, false),
			waiter("198.51.100.1", "b1", 0, false), waiter("198.51.100.1", "b2", 0, false),
		}, "[a1 b1 a2 b2 a3]"},
		"networks of IPv6": {[]*login{waiter("2001:db8::1", "a1", 0, false),
			waiter("2001:db8:0:1::1", "a2", 0, false), waiter("2001:db8:0:100::1", "b1", 0, false),
		}, "[a1 b1 a2]"},
		"accounts": {[]*login{waiter("192.0.2.1", "a", 0, false),
			waiter("198.51.100.1", "a", 0, false), waiter("203.0.113.1", "a", 0, false),
			waiter("203.0.114.1", "b", 0, false)}, "[a b a a]"},
		"failures": {[]*login{waiter("192.0.2.1", "a", 2, false),
			waiter("198.51.100.1", "b", 1, false), waiter("203.0.113.1", "c", 0, false),
		}, "[c b a]"},
		"classes": {[]*login{waiter("192.0.2.1", "s1", 0, false),
			waiter("198.51.100.1", "s2", 0, false), waiter("10.0.0.1", "k1", 0, true),
			waiter("10.0.1.1", "k2", 0, true), waiter("10.0.2.1", "k3", 9, true),
			waiter("10.0.3.1", "k4", 9, true)}, "[k1 k2 k3 s1 k4 s2]"},
	} {
		q := newLine(10)
		for _, l := range in.logins {
			if lost, open := q.join(l); lost != nil || !open {
				t.Fatalf("%s: %v, %v", what, lost, open)
			}
		}
		if got := fmt.Sprint(order(q)); got != in.want {
			t.Errorf("%s: %s, want %s", what, got, in.want)
		}
	}
}

// TestFullLine: who has most places gives one up, be it a network or an account, and the newcomer
// when nobody has more; a full class takes nothing from the other one.
func TestFullLine(t *testing.T) {
	q := newLine(3)
	for _, l := range []*login{waiter("192.0.2.1", "a1", 0, false),
		waiter("192.0.2.2", "a2", 0, false), waiter("198.51.100.1", "b1", 0, false)} {
		q.join(l)
	}
	for _, in := range []struct {
		l    *login
		lost string
	}{
		{waiter("203.0.113.1", "c1", 0, false), "a2"},
		{waiter("203.0.113.1", "c2", 0, false), "c2"},
		{waiter("203.0.114.1", "d1", 3, false), "d1"},
		{waiter("203.0.115.1", "b1", 0, false), "b1"},
		{waiter("10.0.0.1", "k", 0, true), ""},
	} {
		lost, _ := q.join(in.l)
		got := ""
		if lost != nil {
			got = lost.account
		}
		if got != in.lost {
			t.Errorf("after %s the place of %q is lost, want %q", in.l.account, got, in.lost)
		}
	}
	if got := fmt.Sprint(order(q)); got != "[k a1 b1 c1]" {
		t.Errorf("who is left: %s", got)
	}
	if _, open := q.join(waiter("192.0.2.1", "late", 0, false)); open {
		t.Error("a closed line takes more")
	}
}
