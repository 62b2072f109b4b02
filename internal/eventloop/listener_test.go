package eventloop

import (
	"net"
	"testing"
)

// TestListenerChanges: a listener that is configured anew treats those who come from then on in the
// new way, on the same socket; one that is closed takes nobody. Who is connected notices neither.
func TestListenerChanges(t *testing.T) {
	s := serve(t, Options{}, ListenerOptions{}, fake{})
	socket, err := Listen(ownAddress())
	if err != nil {
		t.Fatal(err)
	}
	saying := func(greeting string) ListenerOptions {
		return ListenerOptions{New: func(c *Conn) Handler {
			return &fake{c: c, open: func(c *Conn) { c.Write([]byte(greeting)) }}
		}}
	}
	l, err := s.Serve(socket, saying("one\n"))
	if err != nil {
		t.Fatal(err)
	}
	other := s.dial(t)
	s.addr = socket.Addr().String()
	first := s.dial(t)
	expect(t, first, "one\n")
	l.Configure(saying("two\n"))
	second := s.dial(t)
	expect(t, second, "two\n")
	l.Close()
	l.Close() // once more does no harm
	if late, err := net.Dial("tcp", s.addr); err == nil {
		late.Close()
		t.Error("a closed listener took a connection")
	}
	for _, c := range []net.Conn{first, second, other} {
		ask(t, c, "x", "x")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.mu.listeners); n != 1 {
		t.Errorf("the engine keeps %d listeners, want the one that is left", n)
	}
}
