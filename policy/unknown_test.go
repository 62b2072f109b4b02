package policy

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/eventloop"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	sessiontest "github.com/postroad/postroad/internal/testkit/session"
	"github.com/postroad/postroad/smtpd"
)

// TestUnknownRecipients: the first half of a network's budget costs nothing, in the second each
// reply comes later, then 421; what is said stays true, and time gives it back.
func TestUnknownRecipients(t *testing.T) {
	clock := &manual{}
	p := newPolicy(t, Options{Now: clock.Now, Rules: Rules{
		LocalDomains: []string{"l.example"}, Unknown: Rate{N: 100, Per: time.Hour},
		Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}})
	p.Book.(*users).put(t, "u@l.example", "secret")
	rcpt := func(from, to string, user *smtpd.User) *smtp.Failure {
		c := &smtpd.Client{Addr: netip.AddrPortFrom(netip.MustParseAddr(from), 1), User: user}
		return p.Rcpt(c, "a@b.example", &mail.Recipient{Address: to, Domain: "l.example"}, 0)
	}
	last := time.Duration(0)
	for i := range 100 {
		f := rcpt(fmt.Sprintf("192.0.2.%d", i), fmt.Sprintf("x%d@l.example", i), nil)
		if f == nil || f.Code != 550 || f.Enhanced != "5.1.1" || f.Close {
			t.Fatalf("the %dth: %v", i, f)
		}
		if (f.Delay > 0) != (i >= 50) || f.Delay < last || f.Delay > unknownPause {
			t.Fatalf("the %dth comes after %v, the one before after %v", i, f.Delay, last)
		}
		last = f.Delay
	}
	if f := rcpt("192.0.2.1", "x@l.example", nil); f.Code != 421 || !f.Close ||
		f.Delay != unknownPause {
		t.Errorf("without a budget: %v after %v", f, f.Delay)
	}
	for _, c := range []struct{ from, to string }{
		{"192.0.2.1", "u@l.example"}, {"192.0.2.1", "postmaster@l.example"},
	} {
		if f := rcpt(c.from, c.to, nil); f != nil {
			t.Errorf("%s from %s: %v", c.to, c.from, f)
		}
	}
	user := &smtpd.User{Name: "u@l.example"}
	for what, f := range map[string]*smtp.Failure{
		"another network":   rcpt("198.51.100.1", "x@l.example", nil),
		"a trusted network": rcpt("10.0.0.1", "x@l.example", nil),
		"a user":            rcpt("192.0.2.1", "x@l.example", user),
	} {
		if f == nil || f.Code != 550 || f.Delay != 0 {
			t.Errorf("%s: %v", what, f)
		}
	}
	clock.add(33 * time.Minute)
	if f := rcpt("192.0.2.1", "x@l.example", nil); f.Code != 550 || f.Delay != 0 {
		t.Errorf("after half of the time: %v after %v", f, f.Delay)
	}
	if err := p.Configure(Rules{LocalDomains: []string{"l.example"}}); err != nil {
		t.Fatal(err)
	}
	for range 300 {
		if f := rcpt("192.0.2.1", "x@l.example", nil); f.Code != 550 || f.Delay != 0 {
			t.Fatalf("without a limit: %v after %v", f, f.Delay)
		}
	}
}

// TestUnknownNetworksAreBounded: networks by the million take no more memory than the bound, and
// the worst are remembered.
func TestUnknownNetworksAreBounded(t *testing.T) {
	u := newUnknowns((&manual{}).Now)
	budget := Rate{N: 100, Per: time.Hour}
	bad := netip.MustParseAddr("192.0.2.1")
	for range 100 {
		u.take(bad, budget)
	}
	for i := range unknownNetworks + 1000 {
		u.take(netip.AddrFrom4([4]byte{10 + byte(i>>16), byte(i >> 8), byte(i), 1}), budget)
	}
	if n := len(u.mu.networks); n > unknownNetworks {
		t.Errorf("%d networks are remembered", n)
	}
	if used := u.take(bad, budget); used != 101 {
		t.Errorf("of the worst network %v are remembered", used)
	}
}

// TestHarvest: over real sockets, a stranger with 20 connections at once that are made again when
// they end learns no more than the budget and a few, and disturbs nobody.
func TestHarvest(t *testing.T) {
	known := new(users)
	known.put(t, "u@l.example", "secret", func(*directory.User) {})
	p := newPolicy(t, Options{Users: known, Rules: Rules{Hostname: "mx.test",
		LocalDomains: []string{"l.example"}, Unknown: Rate{N: 200, Per: time.Hour}}})
	srv, err := smtpd.New(smtpd.Options{Hostname: "mx.test", Policy: p, Submitter: noQueue{},
		Engine: sessiontest.Engine(t, eventloop.Options{Loops: 1})})
	if err != nil {
		t.Fatal(err)
	}
	address := sessiontest.Listen(t, func(l net.Listener) error {
		return srv.Serve(l, smtpd.ListenerOptions{})
	})
	var asked, told atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for range 20 {
		all.Go(func() {
			for time.Since(began) < 3*time.Second {
				harvest(t, address, began.Add(3*time.Second), &asked, &told)
			}
		})
	}
	honest := sessiontest.DialFrom(t, "127.0.1.1", address)
	neighbour := sessiontest.DialFrom(t, "127.9.0.2", address)
	for _, c := range []*sessiontest.Client{honest, neighbour} {
		c.Expect("220")
		c.Say("EHLO honest.example", "250")
		c.Say("MAIL FROM:<a@b.example>", "250")
		c.Say("RCPT TO:<u@l.example>", "250")
	}
	honest.Say("RCPT TO:<a.typo@l.example>", "550 5.1.1")
	all.Wait()
	neighbour.Say("RCPT TO:<u@l.example>", "250")
	honest.Say("RCPT TO:<another.typo@l.example>", "550 5.1.1")
	t.Logf("addresses that the stranger learned of: %d, %.0f a second", told.Load(),
		float64(told.Load())/time.Since(began).Seconds())
	if n := told.Load(); n > 250 {
		t.Errorf("the stranger learned of %d addresses", n)
	}
}

// harvest asks for ten addresses in one connection, after which a session becomes slow.
func harvest(t *testing.T, address string, until time.Time, asked, told *atomic.Int64) {
	c := sessiontest.DialFrom(t, "127.9.0.1", address)
	defer c.Conn.Close()
	c.Conn.SetDeadline(until)
	read := func() string { line, _ := c.In.ReadString('\n'); return line }
	read()
	c.Flood("HELO stranger.example\r\n")
	read()
	var b strings.Builder
	b.WriteString("MAIL FROM:<a@b.example>\r\n")
	for range 10 {
		fmt.Fprintf(&b, "RCPT TO:<x%d@l.example>\r\n", asked.Add(1))
	}
	c.Flood(b.String())
	read()
	for range 10 {
		if !strings.HasPrefix(read(), "5") {
			return
		}
		told.Add(1)
	}
}

type noQueue struct{}

func (noQueue) Submit(_ *mail.Envelope, c *mail.Content, done func(mail.ID, *smtp.Failure)) {
	c.Release()
	done(mail.ID{}, smtp.Temp(451, "4.3.0", "no"))
}
