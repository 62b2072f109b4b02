package inbound

import (
	"net/netip"
	"testing"
)

// look gives a space so many octets.
func look(s *Space, free int64) { s.Look(func() (int64, bool) { return free, true }) }

// TestSpace: what is promised to one message is not promised to another, one network's large
// messages have a quarter, all large ones three, and what was stored comes back when a look has
// seen it.
func TestSpace(t *testing.T) {
	s := NewSpace(Limits{NetworkBits4: 24}, netip.Addr.IsLoopback)
	look(s, 1000)
	begin := func(ip string) *Part { p := s.Begin(netip.MustParseAddr(ip)); return &p }
	grow := func(p *Part, n int64, want bool) {
		t.Helper()
		if p.Grow(n) != want {
			t.Errorf("room for %d octets: %v, with %d left", n, !want, s.Left())
		}
	}
	a, same, b := begin("192.0.2.1"), begin("192.0.2.2"), begin("198.51.100.1")
	grow(a, 251, false)
	grow(a, 200, true)
	grow(a, 150, true) // it has more
	grow(same, 51, false)
	grow(b, 180, false) // twice that is not left to large ones
	grow(b, 170, true)
	user := begin("192.0.2.3")
	user.Free()
	grow(user, 5, true)
	trusted := begin("127.0.0.1")
	grow(trusted, 5, false)
	small := begin("203.0.113.1")
	if small.Store(251) || !small.Store(250) || s.Left() != 0 {
		t.Errorf("what is left is not for small messages: %d", s.Left())
	}
	a.Spilled(200)
	look(s, 800) // its spill file is seen, and still promised
	if s.Left() != 0 {
		t.Errorf("a spill file counts twice: %d left", s.Left())
	}
	a.End(true)
	small.End(true)
	grow(begin("192.0.2.1"), 10, false) // until a look has seen them
	look(s, 550)                        // 1000 less 200 and 250
	if s.Left() != 550-350 {
		t.Errorf("%d left after two messages were stored", s.Left())
	}
	b.End(false)
	user.End(false)
	if look(s, 550); s.Left() != 550 || s.promised.Load() != 0 || len(s.mu.networks) != 0 {
		t.Errorf("%d left at the end, %d promised to %v", s.Left(), s.promised.Load(),
			s.mu.networks)
	}
	none := (*Space)(nil).Begin(netip.Addr{})
	if !none.Grow(1<<40) || !none.Store(1<<40) {
		t.Error("without a space there is no room")
	}
	none.Spilled(1)
	none.End(true)
}
