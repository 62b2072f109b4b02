package pop3

import (
	"testing"
	"time"

	"github.com/postroad/postroad/internal/eventloop"
	sessiontest "github.com/postroad/postroad/internal/testkit/session"
)

// TestFlood: neither clients that stall in a handshake nor silent ones keep others out.
func TestFlood(t *testing.T) {
	for name, first := range map[string][]byte{
		"stalled": sessiontest.ClientHello(), "silent": nil,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRigOn(t, newMemory(), eventloop.Options{MaxConnections: 400, Handshakes: 64,
				HandshakeLimit: time.Minute}, func(o *Options) { o.TLS = sessiontest.TLS })
			address := r.listen(ListenerOptions{Implicit: true})
			sessiontest.Flood(t, sessiontest.Networks(100), []string{address}, first, 500, 300)
			t.Logf("served after %v", sessiontest.Greeted(t, "127.0.1.1", address, "+OK ", true))
		})
	}
}
