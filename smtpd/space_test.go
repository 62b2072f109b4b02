package smtpd

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/postroad/postroad/internal/inbound"
	"github.com/postroad/postroad/internal/mail"
)

// TestSpace: a SIZE for which there is no room on the disk is refused before the data, and so is
// what grows over it without a SIZE at its end; small mail goes on, and all is given back.
func TestSpace(t *testing.T) {
	space := inbound.NewSpace(inbound.Limits{}, func(netip.Addr) bool { return false })
	budget := mail.NewBudget(64 << 20)
	look := func() { space.Look(func() (int64, bool) { return 24 << 20, true }) }
	look()
	r := newRig(t, ListenerOptions{}, func(o *Options) {
		o.Space, o.Budget, o.SpillDir = space, budget, t.TempDir()
	})
	text := strings.Repeat(strings.Repeat("x", 998)+"\r\n", 1<<10) // a thousand KiB
	c := r.hello()
	c.mail(" SIZE=7000000") // a quarter is 6 MiB
	c.Say("DATA", "452 4.3.1")
	c.Say("RSET", "250")
	c.mail(" SIZE=7000000")
	c.Send("BDAT 6 LAST\r\nx\r\ny\r\n")
	c.Expect("452 4.3.1")
	c.mail(" SIZE=5000000")
	c.Say("DATA", "354") // and holds it
	other := r.hello()
	other.data()
	for range 12 {
		other.Send(text)
	}
	other.Send(".\r\n")
	other.Expect("452 4.3.1")
	other.mail(" SIZE=2000000") // the network has 5 of its 6 MiB
	other.Say("DATA", "452 4.3.1")
	other.Say("RSET", "250")
	other.data()
	other.Say("small\r\n.", "250")
	for range 4 {
		c.Send(text)
	}
	c.Send(".\r\n")
	c.Expect("250")
	other.data() // and goes away
	for range 3 {
		other.Send(text)
	}
	other.Conn.Close()
	c.Say("QUIT", "221")
	c.ExpectEnd()
	for r.srv.Stats().Open > 0 || budget.Used() > 0 {
		look()
	}
	if look(); space.Left() != 24<<20 {
		t.Errorf("%d octets left of %d when all is over", space.Left(), 24<<20)
	}
}
