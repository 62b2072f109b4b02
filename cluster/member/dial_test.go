package member

import (
	"net"
	"testing"
)

// TestDialFrom: a connection comes from the address that the node listens on, or from one of the
// system's choice where that stands for all.
func TestDialFrom(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for listen, want := range map[string]string{
		"127.0.0.2:7025": "127.0.0.2", "0.0.0.0:7025": "127.0.0.1", "[::]:7025": "127.0.0.1",
		"": "127.0.0.1",
	} {
		c, err := DialFrom(listen)(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatalf("from %q: %v", listen, err)
		}
		if host, _, _ := net.SplitHostPort(c.LocalAddr().String()); host != want {
			t.Errorf("who listens on %q dials from %s", listen, host)
		}
		c.Close()
	}
}
