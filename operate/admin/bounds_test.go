package admin

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
)

// stall sends the head of a request whose body never comes, from an address.
func stall(t *testing.T, from, to, header string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.DialContext(t.Context(), "tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, "POST /v1/queue/count HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n"+
		"%s\r\n", header)
	return c
}

// TestHealthBesideStuckRequests: whoever asks how the node is gets an answer, whatever others have
// begun and do not end; an address has so many connections and no more.
func TestHealthBesideStuckRequests(t *testing.T) {
	n := start(t, nil)
	addr := n.Addr().String()
	for i := range maxWork {
		from := fmt.Sprintf("127.0.0.%d", 2+i%4)
		stall(t, from, addr, "Authorization: Bearer "+testToken+"\r\n")
		stall(t, from, addr, "")
	}
	for _, path := range []string{"/livez", "/readyz", "/metrics"} {
		if status, body := n.request(t, "GET", path, nil); status != http.StatusOK {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	var last net.Conn
	for range maxAddress + 1 {
		last = stall(t, "127.0.0.9", addr, "")
	}
	// The refusal comes before the connection's end, if there is one.
	if b, err := io.ReadAll(last); len(b) > 0 {
		t.Errorf("one connection too many is answered: %q, %v", b, err)
	}
}
