package policy

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/smtpd"
	"github.com/xdg-go/scram"
)

func newAuth(t *testing.T, o AuthOptions) *Auth {
	t.Helper()
	o.Cost = cheap
	a, err := NewAuth(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

// plain logs in and waits for the answer.
func plain(a *Auth, c *smtpd.Client, authzid, user, password string) (*smtpd.User, *smtp.Failure) {
	type answer struct {
		u *smtpd.User
		f *smtp.Failure
	}
	ch := make(chan answer, 2)
	a.Plain(c, authzid, user, password, func(u *smtpd.User, f *smtp.Failure) { ch <- answer{u, f} })
	got := <-ch
	return got.u, got.f
}

// TestFailedNames: a failed log-in is told of by the name that was given, if that can be nobody's.
func TestFailedNames(t *testing.T) {
	failed := make(chan string, 2)
	a := newAuth(t, AuthOptions{Users: new(users),
		Events: Events{LoginFailed: func(user string, _ netip.Addr) { failed <- user }}})
	c := client(smtpd.Submission, "203.0.113.5", "")
	for said, want := range map[string]string{"bob": "bob", "BOB@l.example": "bob@l.example"} {
		for range 2 { // the second is from the cache
			plain(a, c, "", said, "guess")
			if got := <-failed; got != want {
				t.Errorf("%s is told of as %q", said, got)
			}
		}
	}
}

func TestPlain(t *testing.T) {
	u := new(users)
	u.put(t, "bob@l.example", "secret", func(u *directory.User) { u.Tenant = "t1" })
	u.put(t, "off@l.example", "secret", func(u *directory.User) { u.Disabled = true })
	var failed atomic.Int32
	a := newAuth(t,
		AuthOptions{Users: u,
			Events: Events{LoginFailed: func(string, netip.Addr) { failed.Add(1) }}})
	c := client(smtpd.Submission, "203.0.113.5", "")
	for _, name := range []string{"bob@l.example", "BOB@L.Example"} {
		for range 2 { // the second is from the cache
			got, f := plain(a, c, "", name, "secret")
			if f != nil || *got != (smtpd.User{Name: "bob@l.example", Tenant: "t1"}) {
				t.Fatalf("%s: %v, %v", name, got, f)
			}
		}
	}
	if _, f := plain(a, c, "bob@L.example", "bob@l.example", "secret"); f != nil {
		t.Error(f)
	}
	for what, in := range map[string][3]string{
		"wrong password": {"", "bob@l.example", "Secret"},
		"empty password": {"", "bob@l.example", ""}, "unknown": {"", "eve@l.example", "secret"},
		"disabled": {"", "off@l.example", "secret"}, "no name": {"", "", "secret"},
		"nonsense":    {"", "a\x00b", "secret"},
		"for another": {"alice@l.example", "bob@l.example", "secret"},
		"long":        {"", "bob@l.example", strings.Repeat("x", 1<<20)},
	} {
		got, f := plain(a, c, in[0], in[1], in[2])
		if got != nil {
			t.Errorf("%s: logged in", what)
		}
		wantCode(t, what, f, 535, "5.7.8")
	}
	if failed.Load() != 8 {
		t.Errorf("%d failures were told, want 8", failed.Load())
	}
}

// Other names of a user log in as the user, with the domain of the listener where they have none;
// their failures are the user's.
func TestLoginNames(t *testing.T) {
	u := new(users)
	keys, err := directory.NewScram("bob@l.example", "secret")
	if err != nil {
		t.Fatal(err)
	}
	u.put(t, "bob@l.example", "secret", func(u *directory.User) { u.Scram = keys })
	a := newAuth(t, AuthOptions{Users: u, Named: func(address string) (string, bool) {
		if address == "rob@l.example" {
			return "bob@l.example", true
		}
		return "", false
	}})
	for _, in := range []struct {
		domain, authzid, user string
		want                  bool
	}{
		{"", "", "rob@l.example", true}, {"", "bob@l.example", "ROB@l.example", true},
		{"l.example", "", "bob", true}, {"l.example", "rob", "Bob", true},
		{"l.example", "", "rob", true}, {"other.example", "", "bob", false},
		{"", "", "bob", false}, {"l.example", "", "bob@", false},
		{"l.example", "eve", "bob", false}, {"l.example", "", "", false},
	} {
		c := client(smtpd.Submission, "203.0.113.5", "")
		c.LoginDomain = in.domain
		got, f := plain(a, c, in.authzid, in.user, "secret")
		if (f == nil) != in.want || f == nil && got.Name != "bob@l.example" {
			t.Errorf("%+v: %v, %v", in, got, f)
		}
		if in.user == "" {
			continue
		}
		_, got, _ = converseAs(t, a, c, in.user, "secret", in.authzid, nil)
		if (got != nil) != in.want || got != nil && got.Name != "bob@l.example" {
			t.Errorf("SCRAM %+v: %v", in, got)
		}
	}
	for i := range accountLimit.free + 1 {
		c := client(smtpd.Submission, fmt.Sprintf("203.0.113.%d", i+10), "")
		name := []string{"bob@l.example", "rob@l.example"}[i%2]
		plain(a, c, "", name, fmt.Sprint("guess ", i))
	}
	c := client(smtpd.Submission, "203.0.113.100", "")
	_, f := plain(a, c, "", "rob@l.example", "secret")
	wantCode(t, "after guesses at all names", f, 454, "4.7.0")
}

// A log-in from the cache is answered before Plain returns; anything that changes the user, and
// time, voids it.
func TestLoginCache(t *testing.T) {
	u, now := new(users), newManual()
	u.put(t, "bob@l.example", "one")
	a := newAuth(t, AuthOptions{Users: u, Now: now.Now, CacheTTL: time.Minute})
	c := client(smtpd.Submission, "203.0.113.5", "")
	cached := func(password string) bool {
		user, ok := u.Get("bob@l.example")
		mac := a.cache.mac(user, "bob@l.example", password)
		hit, _ := a.cache.look(pair{"bob@l.example", networkOf(c.Addr.Addr())}, &mac)
		return ok && hit
	}
	login := func(password string) *smtp.Failure {
		_, f := plain(a, c, "", "bob@l.example", password)
		return f
	}
	if cached("one") {
		t.Fatal("known before the first log-in")
	}
	if f := login("one"); f != nil || !cached("one") || cached("two") {
		t.Fatalf("after a log-in: %v, cached %v, other cached %v", f, cached("one"), cached("two"))
	}
	sync := false
	a.Plain(c, "", "bob@l.example", "one", func(u *smtpd.User, f *smtp.Failure) {
		sync = u != nil &&
			f == nil
	})
	if !sync {
		t.Fatal("a cached log-in took a hash")
	}
	now.add(time.Minute)
	if cached("one") {
		t.Fatal("still there after its time")
	}
	login("one")
	u.put(t, "bob@l.example", "two") // passwd
	if cached("one") {
		t.Fatal("still there after the password changed")
	}
	wantCode(t, "the old password", login("one"), 535, "5.7.8")
	wantCode(t, "the new password", login("two"), 0, "")
	u.put(t, "bob@l.example", "two", func(u *directory.User) { u.Disabled = true })
	wantCode(t, "disabled", login("two"), 535, "5.7.8")
	u.m.Delete("bob@l.example")
	wantCode(t, "removed", login("two"), 535, "5.7.8")
}

func TestLoginCacheIsBounded(t *testing.T) {
	c := newLoginCache(10, time.Minute, newManual().Now)
	for i := range 100 {
		at := pair{account: fmt.Sprint("u", i)}
		mac := c.mac(nil, at.account, "pw")
		c.add(at, mac)
		if hit, _ := c.look(at, &mac); !hit {
			t.Fatal("the newest was not kept")
		}
	}
	if n := len(c.mu.entries); n != 10 {
		t.Errorf("%d entries, the bound is 10", n)
	}
}

// gate is a view of users that holds back whoever asks until it is opened.
type gate struct {
	users
	asked, open chan struct{}
	passing     atomic.Bool
}

func (g *gate) Get(name string) (*directory.User, bool) {
	if g.passing.Load() {
		g.asked <- struct{}{}
		<-g.open
	}
	return g.users.Get(name)
}

// When all workers are busy and as many wait as may, the next is told so at once. Those who wait
// when the server stops are answered, too.
func TestPoolIsBounded(t *testing.T) {
	g := &gate{asked: make(chan struct{}), open: make(chan struct{})}
	g.put(t, "bob@l.example", "secret")
	a := newAuth(t, AuthOptions{Users: g, Workers: 1, Waiting: 2})
	c := client(smtpd.Submission, "203.0.113.5", "")
	var mu sync.Mutex
	var codes []string
	var answered sync.WaitGroup
	done := func(_ *smtpd.User, f *smtp.Failure) {
		mu.Lock()
		defer mu.Unlock()
		if f == nil {
			codes = append(codes, "ok")
		} else {
			codes = append(codes, fmt.Sprint(f.Code, " ", f.Enhanced))
		}
		answered.Done()
	}
	answered.Add(1)
	g.passing.Store(true)
	go a.Plain(c, "", "bob@l.example", "secret", done)
	<-g.asked // Plain itself
	g.open <- struct{}{}
	<-g.asked // the worker: it hangs now
	g.passing.Store(false)
	answered.Add(3)
	for range 3 {
		a.Plain(c, "", "bob@l.example", "wrong", done)
	}
	mu.Lock()
	if fmt.Sprint(codes) != "[454 4.7.0]" {
		t.Errorf("with one at work and two waiting: %v", codes)
	}
	mu.Unlock()
	closed := make(chan struct{})
	go func() { a.Close(); close(closed) }()
	for !a.closing.Load() { // Close says so first of all
		runtime.Gosched()
	}
	g.open <- struct{}{}
	<-closed
	answered.Wait()
	if fmt.Sprint(codes) != "[454 4.7.0 ok 454 4.3.2 454 4.3.2]" {
		t.Errorf("after Close: %v", codes)
	}
	answered.Add(1)
	a.Plain(c, "", "bob@l.example", "wrong", done)
	if last := codes[len(codes)-1]; last != "454 4.3.2" {
		t.Errorf("after the end: %s", last)
	}
}

// Users of an outside list are checked there, and only there; what it cannot say now is tried
// again.
func TestOutside(t *testing.T) {
	u := new(users)
	from := func(u *directory.User) { u.Source, u.Hash = "ldap", "" }
	u.put(t, "out@l.example", "x", from)
	u.put(t, "down@l.example", "x", from)
	u.put(t, "hashed@l.example", "its own", func(u *directory.User) { u.Source = "ldap" })
	u.put(t, "none@l.example", "x", func(u *directory.User) { u.Hash = "" })
	_, keys, err := directory.ParseHash(
		"{SCRAM-SHA-256}4096,VZL7UYWQk9BBw2RGqu87Qw==,2KmAh2/sxH24RBo/Ny4bZX0hawgEvhdmdhFwdM4fG8g=,msU+FjX8dXrEBqxSHsTBAMl64iEolXMsltRdWsWdipQ=")
	if err != nil {
		t.Fatal(err)
	}
	u.put(t, "scram@l.example", "x", func(u *directory.User) { u.Hash, u.Scram = "", keys })
	asked := 0
	var mu sync.Mutex
	a := newAuth(t, AuthOptions{Users: u, Trusted: func(netip.Addr) bool { return true },
		Outside: func(_ context.Context, u *directory.User, password string) (bool, error) {
			mu.Lock()
			defer mu.Unlock()
			asked++
			if u.Name == "down@l.example" {
				return false, errors.New("away")
			}
			return password == "outside", nil
		}})
	for _, c := range []struct {
		user, password string
		code           int
		enhanced       string
		asked          int
	}{
		// remembered
		{"out@l.example", "outside", 0, "", 1}, {"out@l.example", "outside", 0, "", 1},
		{"out@l.example", "x", 535, "5.7.8", 2}, {"down@l.example", "outside", 454, "4.7.0", 3},
		{"hashed@l.example", "outside", 535, "5.7.8", 3}, {"hashed@l.example", "its own", 0, "", 3},
		{"none@l.example", "x", 535, "5.7.8", 3}, {"none@l.example", "", 535, "5.7.8", 3},
		{"nobody@l.example", "outside", 535, "5.7.8", 3},
		{"scram@l.example", "secret word", 0, "", 3}, {"scram@l.example", "x", 535, "5.7.8", 3},
	} {
		_, f := plain(a, client(smtpd.Submission, "203.0.113.5", ""), "", c.user, c.password)
		wantCode(t, c.user+" with "+c.password, f, c.code, c.enhanced)
		mu.Lock()
		if asked != c.asked {
			t.Errorf("%s with %s: asked %d times, want %d", c.user, c.password, asked, c.asked)
		}
		mu.Unlock()
	}
	if _, user, f := converse(t, a, "scram@l.example", "secret word", "", nil); f != nil ||
		user == nil {
		t.Errorf("SCRAM with imported keys: %v", f)
	}
}

func TestDamagedHash(t *testing.T) {
	u := new(users)
	u.put(t, "bob@l.example", "secret", func(u *directory.User) { u.Hash = "damaged" })
	var told error
	a := newAuth(t,
		AuthOptions{Users: u, Events: Events{BadHash: func(_ string, err error) { told = err }}})
	_, f := plain(a, client(smtpd.Submission, "203.0.113.5", ""), "", "bob@l.example", "secret")
	wantCode(t, "damaged", f, 454, "4.7.0")
	if told == nil {
		t.Error("nobody was told")
	}
}

// converse runs a whole exchange and returns what the server said in the middle.
func converse(
	t *testing.T, a *Auth, name, password, authzid string, between func(),
) (first string, user *smtpd.User, f *smtp.Failure) {
	t.Helper()
	return converseAs(t, a, client(smtpd.Submission, "203.0.113.5", ""), name, password, authzid,
		between)
}

func converseAs(
	t *testing.T, a *Auth, c *smtpd.Client, name, password, authzid string, between func(),
) (first string, user *smtpd.User, f *smtp.Failure) {
	t.Helper()
	cl, err := scram.SHA256.NewClient(name, password, authzid)
	if err != nil {
		t.Fatal(err)
	}
	conv, x := cl.NewConversation(), a.ScramSHA256(c)
	msg, err := conv.Step("")
	if err != nil {
		t.Fatal(err)
	}
	answer, user, done, f := x.Step([]byte(msg))
	if f != nil || done || user != nil {
		return "", user, f
	}
	first = string(answer)
	if msg, err = conv.Step(first); err != nil {
		t.Fatal(err)
	}
	if between != nil {
		between()
	}
	answer, user, done, f = x.Step([]byte(msg))
	if f != nil {
		return first, user, f
	}
	if _, err := conv.Step(string(answer)); err != nil || !conv.Valid() || !done {
		t.Fatalf("the server's proof: %v, done %v", err, done)
	}
	return first, user, nil
}

func TestScram(t *testing.T) {
	u := new(users)
	withKeys := func(user *directory.User) {
		keys, err := directory.NewScram(user.Name, "secret")
		if err != nil {
			t.Fatal(err)
		}
		user.Scram, user.Tenant = keys, "t1"
	}
	u.put(t, "bob@l.example", "secret", withKeys)
	u.put(t, "plain@l.example", "secret")
	u.put(t, "off@l.example", "secret", withKeys, func(u *directory.User) { u.Disabled = true })
	a := newAuth(t, AuthOptions{Users: u, Trusted: func(netip.Addr) bool { return true }})
	for _, authzid := range []string{"", "bob@l.example"} {
		if _, user, f := converse(t, a, "Bob@l.example", "secret", authzid, nil); f != nil ||
			*user != (smtpd.User{Name: "bob@l.example", Tenant: "t1"}) {
			t.Fatalf("bob: %v, %v", user, f)
		}
	}
	for what, in := range map[string][3]string{"wrong password": {"bob@l.example", "guess", ""},
		"unknown":     {"eve@l.example", "secret", ""},
		"not enabled": {"plain@l.example", "secret", ""},
		"disabled":    {"off@l.example", "secret", ""}, "for another": {"bob@l.example", "secret",
			"ann@l.example"}} {
		first, user, f := converse(t, a, in[0], in[1], in[2], nil)
		if user != nil || first == "" {
			t.Errorf("%s: user %v, first answer %q: it must look like any other", what, user, first)
		}
		wantCode(t, what, f, 535, "5.7.8")
	}
	_, _, f := converse(t, a, "bob@l.example", "secret", "",
		func() { u.put(t, "bob@l.example", "new", withKeys) })
	wantCode(t, "changed between", f, 535, "5.7.8")

	for _, garbage := range []string{"", "n,,", "p=tls-unique,,n=bob@l.example,r=x", "\x00",
		strings.Repeat("n", 12000), "n,,n=b=ob,r=x"} {
		_, user, done,
			f := a.ScramSHA256(client(smtpd.Submission, "203.0.113.5", "")).Step([]byte(garbage))
		if user != nil || done {
			t.Errorf("%.20q: %v, %v", garbage, user, done)
		}
		wantCode(t, garbage[:min(20, len(garbage))], f, 535, "5.7.8")
	}
}

// Somebody who is not there has a salt like those who are: of the same length, the same each time
// and on each node, and their own.
func TestScramMadeUp(t *testing.T) {
	o := AuthOptions{Users: new(users),
		ScramSecret: func() []byte { return []byte("of the cluster") },
		Trusted:     func(netip.Addr) bool { return true }}
	salt := func(a *Auth, name string) string {
		first, _, _ := converse(t, a, name, "x", "", nil)
		for part := range strings.SplitSeq(first, ",") {
			if s, ok := strings.CutPrefix(part, "s="); ok {
				raw, err := base64.StdEncoding.DecodeString(s)
				if err != nil || len(raw) != 16 {
					t.Fatalf("salt %q", s)
				}
				return s + first[strings.Index(first, ",i="):]
			}
		}
		t.Fatalf("no salt in %q", first)
		return ""
	}
	a, b := newAuth(t, o), newAuth(t, o)
	eve := salt(a, "eve@l.example")
	if salt(a, "EVE@l.example") != eve || salt(b, "eve@l.example") != eve ||
		salt(a, "mal@l.example") == eve {
		t.Error("made-up salts can be told from stored ones")
	}
	if !strings.HasSuffix(eve, fmt.Sprint(",i=", directory.ScramIterations)) {
		t.Errorf("iterations in %q", eve)
	}
}

func BenchmarkCachedLogin(b *testing.B) {
	u := new(users)
	hash, err := directory.HashPassword("secret", cheap)
	if err != nil {
		b.Fatal(err)
	}
	u.m.Store("bob@l.example", &directory.User{Name: "bob@l.example", Hash: hash, Version: 1})
	a, err := NewAuth(AuthOptions{Users: u, Cost: cheap})
	if err != nil {
		b.Fatal(err)
	}
	defer a.Close()
	c := client(smtpd.Submission, "203.0.113.5", "")
	plain(a, c, "", "bob@l.example", "secret")
	b.ReportAllocs()
	for b.Loop() {
		a.Plain(c, "", "bob@l.example", "secret", func(u *smtpd.User, f *smtp.Failure) {
			if f != nil {
				b.Fatal(f)
			}
		})
	}
}
