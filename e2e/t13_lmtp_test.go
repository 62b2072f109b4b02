package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/bench/peers"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// TestDovecotBehindUs has the node relay varied messages to a Dovecot over LMTP, by TCP and by a
// unix socket. Below the trace header each is what was sent, octet for octet, once for each
// recipient.
func TestDovecotBehindUs(t *testing.T) {
	need(t, peers.DovecotAvailable())
	dc := startDovecot(t, peers.DovecotOptions{LMTP: freeAddr(t)})
	n := newNode(t, nodeOptions{Extra: lmtpRoute("tcp.test", dc.Addr) + lmtpRoute("socket.test", filepath.Join(dc.Dir, "run", "lmtp"))})
	n.start()
	gen := &mailtest.Generator{Seed: 13, Run: "dovecot", Domains: []string{"tcp.test", "socket.test"}, MaxSize: 1 << 20, NoUTF8: true}
	sent := sendAll(t, n.Relay, gen, mailtest.SendOptions{Connections: 8, Pipelining: true})
	stored := waitMaildirs(t, filepath.Join(dc.Dir, "mail"), copiesOf(sent.Sent), n)
	if wrong := wrongCopies(sent.Sent, stored); len(wrong) > 0 {
		t.Errorf("%d faults: %.2000s", len(wrong), strings.Join(wrong, "\n"))
	}
}

// TestDovecotSaysNo: after the data each recipient has an answer of its own. The one who has room
// gets the message once, whatever becomes of the others.
func TestDovecotSaysNo(t *testing.T) {
	need(t, peers.DovecotAvailable())
	w := newWorld(t, 1, mailtest.SinkOptions{})
	dc := startDovecot(t, peers.DovecotOptions{LMTP: freeAddr(t), Users: []peers.DovecotUser{{Address: "room@dc.test"}, {Address: "full@dc.test", Quota: "10K"}}})
	n := newNode(t, nodeOptions{DNS: w.DNS.Addr(), Port: w.port(), Extra: lmtpRoute("dc.test", dc.Addr)})
	n.start()
	body := "Subject: x\r\n\r\n" + strings.Repeat("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n", 500)
	sendOne(t, n.Relay, "s@"+w.Domains[0], body, "full@dc.test", "nobody@dc.test", "room@dc.test")
	waitMaildirs(t, filepath.Join(dc.Dir, "mail"), 1, n)
	eventually(t, time.Minute, func() bool {
		return strings.Count(n.log(), "status=bounced") == 2 && strings.Contains(n.log(), ": removed")
	},
		func() string { return "not settled:\n" + n.log() })
	for _, want := range []string{"to=<full@dc.test>", "5.2.2", "to=<nobody@dc.test>", "5.1.1", "to=<room@dc.test>", "relay=127.0.0.1["} {
		if !strings.Contains(n.log(), want) {
			t.Errorf("the log does not say %s:\n%s", want, n.log())
		}
	}
	stored := waitMaildirs(t, filepath.Join(dc.Dir, "mail"), 1, n)
	if len(stored) != 1 {
		t.Errorf("%d copies are stored, want the one of room@dc.test", len(stored))
	}
	eventually(t, time.Minute, func() bool { return w.Sink.Accepted() >= 1 }, func() string { return "the sender had no report:\n" + n.log() })
}

// TestPostfixDeliversToUsOverLMTP has a Postfix deliver varied messages into the node's mailboxes
// over LMTP. A user who is not there is refused to it at RCPT.
func TestPostfixDeliversToUsOverLMTP(t *testing.T) {
	need(t, peers.PostfixAvailable())
	lmtp := freeAddr(t)
	n := newNode(t, nodeOptions{Extra: lmtpListener(lmtp)})
	n.start()
	users := n.importUsers(20)
	pf := startPostfix(t, peers.PostfixOptions{Log: true, Main: map[string]string{"default_transport": "lmtp:inet:" + lmtp}})
	gen := &mailtest.Generator{Seed: 14, Run: "lmtp", Domains: []string{"postroad.test"}, MaxSize: 1 << 20, NoUTF8: true}
	sent := send(t, mailtest.SendOptions{Addr: pf.Addr, Connections: 8, Count: foreignMessages, Message: toUsers(gen, users, 0)})
	sendOne(t, pf.Addr, "", "Subject: x\r\n\r\n", "nobody@postroad.test")
	want := copiesOf(sent.Sent)
	said := func() string { log, _ := os.ReadFile(pf.Log); return string(log) }
	eventually(t, 2*time.Minute, func() bool { return int(n.delivered()) >= want && strings.Contains(said(), "550 5.1.1") },
		func() string { return fmt.Sprintf("%d of %d delivered\n%.3000s", n.delivered(), want, n.log()) })
	if wrong := wrongCopies(sent.Sent, n.mailboxes(users)); len(wrong) > 0 {
		t.Errorf("%d faults: %.2000s", len(wrong), strings.Join(wrong, "\n"))
	}
	if log := said(); !strings.Contains(log, "postfix/lmtp") || strings.Contains(log, "status=deferred") {
		t.Errorf("Postfix did not use LMTP, or had to put mail off: %.3000s", log)
	}
}

// TestLMTPIsForTrustedNetworks: whoever may not relay may not speak LMTP, and nobody reaches a
// foreign domain by it.
func TestLMTPIsForTrustedNetworks(t *testing.T) {
	lmtp := freeAddr(t)
	n := newNode(t, nodeOptions{Extra: lmtpListener(lmtp), Relay: `networks = ["192.0.2.0/24"]`})
	n.start()
	play(t, lmtp, "< 554 5.7.1 LMTP is for the networks of this site")
	n.stop()
	other := newNode(t, nodeOptions{Extra: lmtpListener(lmtp)})
	other.start()
	play(t, lmtp, hello, "> MAIL FROM:<a@client.example>", "< 250 2.1.0 Sender ok", "> RCPT TO:<a@elsewhere.example>", "< 550 5.7.1 Relaying denied")
}

// hello is how a conversation by LMTP begins, as mailtest.Talk.Play takes it.
const hello = "< 220\n> LHLO client.example\n< 250"

// play has a conversation with a server, a step in each line (mailtest.Talk.Play).
func play(t testing.TB, addr string, script ...string) {
	t.Helper()
	talk, err := mailtest.StartTalk(addr, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer talk.Close()
	if err := talk.Play(strings.Join(script, "\n")); err != nil {
		t.Fatal(err)
	}
}

// sendOne sends a message in clear.
func sendOne(t testing.TB, addr, sender, content string, to ...string) {
	t.Helper()
	c, err := smtp.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := errors.Join(transaction(c, sender, content, to...), c.Quit()); err != nil {
		t.Fatal(err)
	}
}

// transaction sends a message on a connection.
func transaction(c *smtp.Client, sender, content string, to ...string) error {
	err := c.Mail(sender)
	for _, r := range to {
		err = errors.Join(err, c.Rcpt(r))
	}
	w, failed := c.Data()
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	_, err = io.WriteString(w, content)
	return errors.Join(err, w.Close())
}

func lmtpRoute(domain, smartHost string) string {
	return fmt.Sprintf("[[route]]\ndomain = %q\nsmart_host = %q\nprotocol = \"lmtp\"\n", domain, smartHost)
}

func lmtpListener(addr string) string {
	return fmt.Sprintf("[[listener]]\naddress = %q\nkind = \"lmtp\"\n", addr)
}

// copiesOf is how many copies of all messages there should be.
func copiesOf(sent []mailtest.Sent) (n int) {
	for i := range sent {
		n += len(sent[i].Accepted)
	}
	return n
}

// wrongCopies compares what was stored, by path, with what was sent: each message once for each
// recipient.
func wrongCopies(sent []mailtest.Sent, stored map[string][]byte) (wrong []string) {
	want, got := map[string]mailtest.Sum{}, map[string]int{}
	for i := range sent {
		want[sent[i].ID] = sent[i].Sum
	}
	for path, content := range stored {
		sum, id := mailtest.SumOf(content)
		if want[id] != sum {
			wrong = append(wrong, fmt.Sprintf("%s: message %q is not what was sent", path, id))
		}
		got[id]++
	}
	for i := range sent {
		if s := &sent[i]; got[s.ID] != len(s.Accepted) {
			wrong = append(wrong, fmt.Sprintf("message %s: %d copies stored for %d recipients", s.ID, got[s.ID], len(s.Accepted)))
		}
	}
	return wrong
}

func startDovecot(t testing.TB, o peers.DovecotOptions) *peers.Instance {
	t.Helper()
	return startPeer(t, "dovecot", func(dir string) (*peers.Instance, error) {
		o.Dir = dir
		return peers.Dovecot(context.Background(), o)
	})
}

// startPeer starts another server, in a folder of its own that every user may enter.
func startPeer(t testing.TB, name string, start func(dir string) (*peers.Instance, error)) *peers.Instance {
	t.Helper()
	dir, err := os.MkdirTemp(scratch(t), name+"-")
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir, 0o755)
	in, err := start(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := in.Stop(); err != nil {
			t.Errorf("stopping %s: %v", name, err)
		}
		os.RemoveAll(dir)
	})
	return in
}
