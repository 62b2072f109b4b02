package relay

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/bench/peers"
	"github.com/postroad/postroad/e2e/kit"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// TestDovecotBehindUs has the node relay varied messages to a Dovecot over LMTP, by TCP and by a
// unix socket. Below the trace header each is what was sent, octet for octet, once for each
// recipient.
func TestDovecotBehindUs(t *testing.T) {
	kit.Need(t, peers.DovecotAvailable())
	dc := kit.StartDovecot(t, peers.DovecotOptions{LMTP: kit.FreeAddr(t)})
	n := kit.NewNode(t,
		kit.NodeOptions{Extra: lmtpRoute("tcp.test", dc.Addr) + lmtpRoute("socket.test",
			filepath.Join(dc.Dir, "run", "lmtp"))})
	n.Start()
	gen := &mailtest.Generator{Seed: 13, Run: "dovecot",
		Domains: []string{"tcp.test", "socket.test"}, MaxSize: 1 << 20, NoUTF8: true}
	sent := sendAll(t, n.Relay, gen, mailtest.SendOptions{Connections: 8, Pipelining: true})
	stored := waitMaildirs(t, filepath.Join(dc.Dir, "mail"), copiesOf(sent.Sent), n)
	if wrong := kit.WrongCopies(sent.Sent, stored); len(wrong) > 0 {
		t.Errorf("%d faults: %.2000s", len(wrong), strings.Join(wrong, "\n"))
	}
}

// TestDovecotSaysNo: after the data each recipient has an answer of its own. The one who has room
// gets the message once, whatever becomes of the others.
func TestDovecotSaysNo(t *testing.T) {
	kit.Need(t, peers.DovecotAvailable())
	w := kit.NewWorld(t, 1, mailtest.SinkOptions{})
	dc := kit.StartDovecot(t, peers.DovecotOptions{LMTP: kit.FreeAddr(t),
		Users: []peers.DovecotUser{{Address: "room@dc.test"},
			{Address: "full@dc.test", Quota: "10K"}}})
	n := kit.NewNode(t, kit.NodeOptions{DNS: w.DNS.Addr(), Port: w.Port(),
		Extra: lmtpRoute("dc.test", dc.Addr)})
	n.Start()
	body := "Subject: x\r\n\r\n" +
		strings.Repeat("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n", 500)
	kit.SendOne(t, n.Relay, "s@"+w.Domains[0], body, "full@dc.test", "nobody@dc.test",
		"room@dc.test")
	waitMaildirs(t, filepath.Join(dc.Dir, "mail"), 1, n)
	kit.Eventually(t, time.Minute, func() bool {
		return strings.Count(n.Log(), "status=bounced") == 2 &&
			strings.Contains(n.Log(), ": removed")
	},
		func() string { return "not settled:\n" + n.Log() })
	for _, want := range []string{"to=<full@dc.test>", "5.2.2", "to=<nobody@dc.test>", "5.1.1",
		"to=<room@dc.test>", "relay=127.0.0.1["} {
		if !strings.Contains(n.Log(), want) {
			t.Errorf("the log does not say %s:\n%s", want, n.Log())
		}
	}
	stored := waitMaildirs(t, filepath.Join(dc.Dir, "mail"), 1, n)
	if len(stored) != 1 {
		t.Errorf("%d copies are stored, want the one of room@dc.test", len(stored))
	}
	kit.Eventually(t, time.Minute, func() bool { return w.Sink.Accepted() >= 1 },
		func() string { return "the sender had no report:\n" + n.Log() })
}

// TestPostfixDeliversToUsOverLMTP has a Postfix deliver varied messages into the node's mailboxes
// over LMTP. A user who is not there is refused to it at RCPT.
func TestPostfixDeliversToUsOverLMTP(t *testing.T) {
	kit.Need(t, peers.PostfixAvailable())
	lmtp := kit.FreeAddr(t)
	n := kit.NewNode(t, kit.NodeOptions{Extra: kit.LMTPListener(lmtp)})
	n.Start()
	users := n.ImportUsers(20)
	pf := kit.StartPostfix(t,
		peers.PostfixOptions{Log: true,
			Main: map[string]string{"default_transport": "lmtp:inet:" + lmtp}})
	gen := &mailtest.Generator{Seed: 14, Run: "lmtp", Domains: []string{"postroad.test"},
		MaxSize: 1 << 20, NoUTF8: true}
	sent := kit.Send(t, mailtest.SendOptions{Addr: pf.Addr, Connections: 8, Count: foreignMessages,
		Message: kit.ToUsers(gen, users, 0)})
	kit.SendOne(t, pf.Addr, "", "Subject: x\r\n\r\n", "nobody@postroad.test")
	want := copiesOf(sent.Sent)
	said := func() string { log, _ := os.ReadFile(pf.Log); return string(log) }
	kit.Eventually(t, 2*time.Minute, func() bool {
		return int(n.Delivered()) >= want && strings.Contains(said(), "550 5.1.1")
	},
		func() string {
			return fmt.Sprintf("%d of %d delivered\n%.3000s", n.Delivered(), want,
				n.Log())
		})
	if wrong := kit.WrongCopies(sent.Sent, n.Mailboxes(users)); len(wrong) > 0 {
		t.Errorf("%d faults: %.2000s", len(wrong), strings.Join(wrong, "\n"))
	}
	if log := said(); !strings.Contains(log, "postfix/lmtp") ||
		strings.Contains(log, "status=deferred") {
		t.Errorf("Postfix did not use LMTP, or had to put mail off: %.3000s", log)
	}
}

// TestLMTPIsForTrustedNetworks: whoever may not relay may not speak LMTP, and nobody reaches a
// foreign domain by it.
func TestLMTPIsForTrustedNetworks(t *testing.T) {
	lmtp := kit.FreeAddr(t)
	n := kit.NewNode(t, kit.NodeOptions{Extra: kit.LMTPListener(lmtp),
		Relay: `networks = ["192.0.2.0/24"]`})
	n.Start()
	kit.Play(t, lmtp, "< 554 5.7.1 LMTP is for the networks of this site")
	n.Stop()
	other := kit.NewNode(t, kit.NodeOptions{Extra: kit.LMTPListener(lmtp)})
	other.Start()
	kit.Play(t, lmtp, kit.Hello, "> MAIL FROM:<a@client.example>", "< 250 2.1.0 Sender ok",
		"> RCPT TO:<a@elsewhere.example>", "< 550 5.7.1 Relay access denied")
}

func lmtpRoute(domain, smartHost string) string {
	return fmt.Sprintf("[[route]]\ndomain = %q\nsmart_host = %q\nprotocol = \"lmtp\"\n", domain,
		smartHost)
}

// copiesOf is how many copies of all messages there should be.
func copiesOf(sent []mailtest.Sent) (n int) {
	for i := range sent {
		n += len(sent[i].Accepted)
	}
	return n
}
