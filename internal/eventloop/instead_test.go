package eventloop

import (
	"net"
	"testing"
)

// TestListenInstead: a listener that goes makes room for one that overlaps it, and is back, for who
// comes from then on, when the new one is given up or cannot be opened. Who is connected stays so.
func TestListenInstead(t *testing.T) {
	s := serve(t, Options{}, ListenerOptions{}, fake{})
	probe, err := Listen("0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(probe.Addr().String())
	probe.Close()
	all, one, other := "0.0.0.0:"+port, "127.0.0.1:"+port, "127.0.0.2:"+port
	socket, err := Listen(all)
	if err != nil {
		t.Fatal(err)
	}
	saying := func(greeting string) ListenerOptions {
		return ListenerOptions{New: func(c *Conn) Handler {
			return &fake{c: c, open: func(c *Conn) { c.Write([]byte(greeting)) }}
		}}
	}
	old, err := s.Serve(socket, saying("old\n"))
	if err != nil {
		t.Fatal(err)
	}
	greeted := func(address, greeting string) net.Conn {
		t.Helper()
		s.addr = address
		c := s.dial(t)
		expect(t, c, greeting)
		return c
	}
	nobody := func(address string) {
		t.Helper()
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			t.Errorf("somebody listens on %s", address)
		}
	}
	before := greeted(one, "old\n")
	going := []*Listener{old}
	if _, _, err := s.ListenInstead(one, nil); err == nil {
		t.Fatal("two listeners on one address")
	}
	first, giveUpFirst, err := s.ListenInstead(one, going)
	if err != nil {
		t.Fatal(err)
	}
	nobody(other)
	second, giveUpSecond, err := s.ListenInstead(other, going)
	if err != nil {
		t.Fatal(err)
	}
	giveUpSecond()
	giveUpFirst()
	if first.Close() == nil || second.Close() == nil {
		t.Error("what was given up was open")
	}
	greeted(one, "old\n")
	greeted(other, "old\n")

	// one takes old's place, and is back when somebody else has part of what is to take its own
	if first, _, err = s.ListenInstead(one, going); err != nil {
		t.Fatal(err)
	}
	moved, err := s.Serve(first, saying("new\n"))
	if err != nil {
		t.Fatal(err)
	}
	old.Close() // as it is closed already
	foreign, err := net.Listen("tcp", other)
	if err != nil {
		t.Fatal(err)
	}
	greeted(one, "new\n")
	if _, _, err := s.ListenInstead(all, []*Listener{moved}); err == nil {
		t.Error("an address that somebody has was opened")
	}
	greeted(one, "new\n")
	ask(t, before, "x", "x")
	foreign.Close()
	nobody(other)
}
