package smtpd

import (
	"testing"
	"time"

	"github.com/postroad/postroad/internal/eventloop"
	sessiontest "github.com/postroad/postroad/internal/testkit/session"
)

// TestStalledHandshakes: clients that begin a handshake and say no more, from one address and from
// many networks, delay nobody else's. Without fairness the honest clients would wait for the limit
// of the stalled ones, which is longer than the test's patience.
func TestStalledHandshakes(t *testing.T) {
	for name, sources := range map[string][]string{
		"one address": {"127.0.0.2"}, "many networks": sessiontest.Networks(200),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRigOn(t, eventloop.Options{HandshakeLimit: time.Minute},
				ListenerOptions{Kind: Submissions},
				func(o *Options) {
					withTLS(o)
					o.Limits.NetworkBits4, o.Limits.ConnectionsPerNetwork = 24, 1000
				})
			submission := r.listen(ListenerOptions{Kind: Submission})
			sessiontest.Flood(t, sources, []string{r.address}, sessiontest.ClientHello(), 600, 100)
			took := sessiontest.Greeted(t, "127.0.1.1", r.address, "220 ", true)
			t.Logf("honest handshake on the flooded listener: %v", took)
			began := time.Now()
			c := &client{sessiontest.DialFrom(t, "127.0.1.1", submission)}
			c.Expect("220")
			c.Say("EHLO client.example", "250")
			c.Say("STARTTLS", "220")
			c.startTLS().Say("EHLO client.example", "250")
			t.Logf("honest STARTTLS on another listener: %v", time.Since(began))
		})
	}
}

// TestSilentConnections: clients that connect and say nothing, from one network and from many, take
// all places, and lose them to those who talk.
func TestSilentConnections(t *testing.T) {
	for name, sources := range map[string][]string{
		"one network": {"127.0.0.2", "127.0.0.3"}, "many networks": sessiontest.Networks(100),
	} {
		for _, kind := range []Kind{Relay, Submissions} {
			t.Run(name+[]string{" relay", "", " submissions"}[kind], func(t *testing.T) {
				few := eventloop.Options{MaxConnections: 400}
				r := newRigOn(t, few, ListenerOptions{Kind: kind}, func(o *Options) {
					withTLS(o)
					o.Limits.NetworkBits4, o.Limits.ConnectionsPerNetwork = 24, 200
				})
				other := r.listen(ListenerOptions{})
				sessiontest.Flood(t, sources, []string{r.address}, nil, 500, 300)
				t.Logf("served at another listener after %v",
					sessiontest.Greeted(t, "127.0.1.1", other, "220 ", false))
				t.Logf("served at the flooded listener after %v",
					sessiontest.Greeted(t, "127.0.1.1", r.address, "220 ", kind == Submissions))
				if open := r.srv.Stats().Open; name == "one network" && open > 210 {
					t.Errorf("one network has %d connections", open)
				}
			})
		}
	}
}

// TestGiveWay: of a full server's connections the silent ones go, with a word, and neither users
// nor trusted clients.
func TestGiveWay(t *testing.T) {
	r := newRigOn(t, eventloop.Options{MaxConnections: 8}, ListenerOptions{AllowPlainAuth: true},
		nil)
	user := r.hello()
	user.Say("AUTH PLAIN AHVAbG9jYWwuZXhhbXBsZQBzZWNyZXQ=", "235")
	var silent []*client
	for range 7 {
		silent = append(silent, r.hello())
	}
	sessiontest.Greeted(t, "127.0.1.1", r.address, "220 ", false)
	silent[0].Expect("421 4.3.2 Too many connections, and this one was silent")
	silent[0].ExpectEnd()
	user.Say("NOOP", "250")
	if n := r.srv.Stats().GaveWay; n == 0 {
		t.Error("nobody is counted who gave way")
	}
}
