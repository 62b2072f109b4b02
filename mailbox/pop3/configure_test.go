package pop3

import (
	"testing"

	"github.com/postroad/postroad/internal/inbound"
)

// TestConfigure: a session keeps the limits that it began with; the next one has those in force.
func TestConfigure(t *testing.T) {
	r := newRig(t, newMemory("1\r\n"), func(o *Options) { o.Limits.HardErrors = 3 })
	old := r.connect()
	old.Say("NOOP", "-ERR Not before")
	r.srv.Configure(Limits{HardErrors: 1, Limits: inbound.Limits{ConnectionsPerNetwork: 2}})
	old.Say("NOOP", "-ERR Not before")
	r.connect().Say("NOOP", "-ERR Too many errors")
	second := r.connect()
	r.dial().Expect("-ERR [SYS/TEMP]") // there are two already
	old.Say("NOOP", "-ERR Too many errors")
	second.Say("QUIT", "+OK")
}
