package smtpd

import (
	"strings"
	"testing"

	"github.com/postroad/postroad/internal/inbound"
)

// TestConfigure: a transaction that is open keeps the settings that it began with; the next one, be
// it of the same session, has those in force, and EHLO offers them.
func TestConfigure(t *testing.T) {
	r := newRig(t, ListenerOptions{}, func(o *Options) { o.Limits.MessageSize = 4000 })
	old, late := r.hello(), r.hello()
	message := "X-Campaign: spring\r\nX-Batch: seven\r\n\r\n" + strings.Repeat("x", 900) + "\r\n" +
		strings.Repeat("x", 900) + "\r\n.\r\n"
	old.data()
	r.srv.Configure(Settings{CampaignHeader: "X-Batch",
		Limits: Limits{MessageSize: 1500, Recipients: 1,
			Limits: inbound.Limits{ConnectionsPerNetwork: 2}}})
	old.Send(message)
	old.Expect("250")
	old.Say("MAIL FROM:<a@b.example> SIZE=1800", "552 5.3.4")
	old.mail("")
	old.Say("RCPT TO:<postmaster@local.example>", "452 4.5.3")
	old.Say("DATA", "354")
	old.Send(message[:200] + "\r\n.\r\n")
	old.Expect("250")
	if reply := late.Say("EHLO client.example", "250"); !strings.Contains(reply, "SIZE 1500\r\n") {
		t.Errorf("offered after Configure: %s", reply)
	}
	r.connect().Expect("421 4.7.0") // there are two already
	r.srv.Configure(Settings{Limits: Limits{MessageSize: 4000}})
	late.Say("MAIL FROM:<a@b.example> SIZE=1800", "250")
	r.hello()
	for i, want := range []string{"spring", "seven"} {
		if got := r.queue.messages()[i].env.Origin.Campaign; got != want {
			t.Errorf("message %d has campaign %q, want %q", i, got, want)
		}
	}
}

// TestNoMoreWithSettings: to take the settings costs a transaction no memory.
func TestNoMoreWithSettings(t *testing.T) {
	s := &Session{l: testServer(t, nil).listener(ListenerOptions{})}
	if n := testing.AllocsPerRun(100, s.renew); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
