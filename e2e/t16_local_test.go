package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/bench/load"
	"github.com/postroad/postroad/bench/measure"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// TestLocalSpeed measures local delivery of 4 KiB messages against relaying by the same node, in
// alternation: from the first connect to the last message that is in its mailbox, or taken by
// smtp-sink. The short version only shows that the measurement works.
func TestLocalSpeed(t *testing.T) {
	sink := startSmtpSink(t)
	logMachine(t, scratch(t))
	n := newNode(t, nodeOptions{Extra: "[[route]]\ndomain = \"sink.test\"\nsmart_host = \"127.0.0.1:" + sink.port + "\"\n"})
	n.start()
	boxes := n.importUsers(500)
	messages, rounds := 1000, 1
	if long() {
		messages, rounds = 40_000, 3
	}
	n.loadUntil(t, 20, boxes, len(boxes), n.delivered) // all mailboxes are there
	for _, conns := range []int{20, 200} {
		t.Run(fmt.Sprintf("%d connections", conns), func(t *testing.T) {
			var relay, local []speed
			for range rounds {
				relay = append(relay, n.loadUntil(t, conns, []string{"rcpt@sink.test"}, messages, sink.Count.Load))
				local = append(local, n.loadUntil(t, conns, boxes, messages, n.delivered))
			}
			r, l := median(relay), median(local)
			t.Logf("relay %6.0f messages/s, %4.0f us CPU each %v", r.rate, r.cpu, relay)
			t.Logf("local %6.0f messages/s, %4.0f us CPU each %v", l.rate, l.cpu, local)
			t.Logf("%.2f of the relay's rate", l.rate/r.rate)
			if long() && l.rate < 0.7*r.rate {
				t.Error("the bar is 0.7")
			}
		})
	}
}

// delivered is how many recipients' mail is in mailboxes.
func (n *node) delivered() int64 {
	return int64(n.metric(`postroad_delivery_outcomes_total{outcome="delivered"}`))
}

// loadUntil sends messages of 4 KiB to some recipients in turn, and waits until count has grown by
// as many.
func (n *node) loadUntil(t *testing.T, conns int, to []string, messages int, count func() int64) speed {
	t.Helper()
	pids := []int{n.PID()}
	before, cpu, start := count(), measure.CPU(pids), time.Now()
	o := load.Options{Addr: n.Relay, Connections: conns, Messages: int64(messages), Retries: 10}
	o.Envelope.To = to
	l, err := load.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	result, err := l.Wait(context.Background())
	if err != nil || result.Accepted != int64(messages) {
		t.Fatalf("%+v: %v", result, err)
	}
	eventually(t, 2*time.Minute, func() bool { return count()-before >= int64(messages) },
		func() string { return fmt.Sprintf("%d of %d\n%s", count()-before, messages, n.log()) })
	took := time.Since(start)
	return speed{float64(messages) / took.Seconds(), float64((measure.CPU(pids) - cpu).Microseconds()) / float64(messages)}
}

// TestLocalDelivery takes varied messages by SMTP and by LMTP into mailboxes. Below the trace
// header each is there as it was sent, octet for octet and once for each recipient, with the lines
// of final delivery in front, after the node was killed in the midst of it.
func TestLocalDelivery(t *testing.T) {
	lmtp := freeAddr(t)
	n := newNode(t, nodeOptions{Extra: lmtpListener(lmtp)})
	n.start()
	users := n.importUsers(20)
	gen := &mailtest.Generator{Seed: 16, Run: "local", Domains: []string{"postroad.test"}, MaxSize: 2 << 20, NoUTF8: true}
	part := func(from, count int) []mailtest.Sent {
		return send(t, mailtest.SendOptions{Addr: n.Relay, Connections: 8, Count: count, Message: toUsers(gen, users, from), Retries: 5}).Sent
	}
	sent := part(0, 200)
	n.kill()
	n.start()
	sent = append(sent, part(200, 200)...)
	before := n.delivered()
	lmtpSend(t, lmtp, "Subject: by LMTP\r\n\r\nhello\r\n", users[0], users[1])
	eventually(t, time.Minute, func() bool { return n.queueEmpty() && n.delivered() >= before+2 }, func() string { return n.cli("queue", "count") + n.log() })

	stored, byLMTP := n.mailboxes(users), 0
	for path, content := range stored {
		if strings.HasSuffix(string(content), "\r\nSubject: by LMTP\r\n\r\nhello\r\n") {
			byLMTP++
			delete(stored, path)
		}
	}
	if byLMTP != 2 {
		t.Errorf("%d messages came by LMTP, want 2", byLMTP)
	}
	if wrong := wrongCopies(sent, stored); len(wrong) > 0 {
		t.Errorf("%d faults: %.2000s", len(wrong), strings.Join(wrong, "\n"))
	}
}

// toUsers makes a generator's messages, from a number on, for users in turn.
func toUsers(gen *mailtest.Generator, users []string, from int) func(i int) *mailtest.Message {
	return func(i int) *mailtest.Message {
		m := gen.Message(from + i)
		for k := range m.Recipients {
			m.Recipients[k] = users[(from+i+7*k)%len(users)]
		}
		return m
	}
}

// mailboxes exports the users' mailboxes and returns their messages by path. Each must have the
// lines of final delivery in front.
func (n *node) mailboxes(users []string) map[string][]byte {
	n.t.Helper()
	stored := map[string][]byte{}
	for _, u := range users {
		dir := filepath.Join(n.t.TempDir(), "box")
		n.cli("mailbox", "export", u, dir, "--format", "maildir")
		for f, b := range readMaildir(n.t, dir) {
			if !strings.HasPrefix(string(b), "Return-Path: <") || !strings.Contains(string(b), "\r\nDelivered-To: "+u+"\r\n") {
				n.t.Errorf("%s begins with %.100q", f, b)
			}
			stored[f] = b
		}
	}
	return stored
}

// lmtpSend delivers a message over LMTP, which takes it for each recipient.
func lmtpSend(t testing.TB, addr, content string, to ...string) {
	t.Helper()
	steps := []string{hello, "> MAIL FROM:<s@client.example>", "< 250 2.1.0 Sender ok"}
	for _, r := range to {
		steps = append(steps, "> RCPT TO:<"+r+">", "< 250 2.1.5 Recipient ok")
	}
	steps = append(steps, "> DATA", "< 354", "> "+strings.ReplaceAll(content, "\r\n", `\r\n`)+".")
	for range to {
		steps = append(steps, "< 250 2.0.0 Ok: queued as ")
	}
	play(t, addr, steps...)
}

// TestLocalReports: a mailbox over its soft quota is told so; one that stays full, and a user who
// is gone when the mail's turn comes, are reported to the sender, into a mailbox here.
func TestLocalReports(t *testing.T) {
	n := newNode(t, nodeOptions{Extra: "[retry]\nschedule = [\"1s\"]\nexpire = \"20s\"\ndelay_warning = \"0s\"\n"})
	n.start()
	const hash = "{CRYPT}$2y$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe"
	name := filepath.Join(n.Dir, "users.csv")
	file := "address,hash,hard_quota,soft_quota\nsender@postroad.test," + hash + ",,\nfull@postroad.test," + hash + ",10KiB,5KiB\ngone@postroad.test," + hash + ",,\n"
	if err := os.WriteFile(name, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	n.cli("user", "import", name)
	body := "Subject: x\r\n\r\n" + strings.Repeat("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n", 130)
	sendOne(t, n.Relay, "sender@postroad.test", body, "full@postroad.test")
	eventually(t, time.Minute, func() bool { return n.delivered() == 2 }, n.log) // with the warning of the soft quota
	sendOne(t, n.Relay, "sender@postroad.test", body, "full@postroad.test")
	n.cli("suspend", "--site", "local", "--reason", "test")
	sendOne(t, n.Relay, "sender@postroad.test", body, "gone@postroad.test")
	n.cli("user", "remove", "gone@postroad.test")
	n.cli("resume", "--site", "local")

	all := func(user string) string {
		var all strings.Builder
		for _, content := range n.mailboxes([]string{user}) {
			all.Write(content)
		}
		return all.String()
	}
	eventually(t, time.Minute, func() bool { return n.delivered() == 4 }, n.log)
	if got := all("full@postroad.test"); !strings.Contains(got, "holds more than 5KiB. At 10KiB no more mail") {
		t.Errorf("no warning of the soft quota: %.3000s", got)
	}
	got := all("sender@postroad.test")
	for _, want := range []string{"Status: 5.1.1", "Status: 5.2.2", "Final-Recipient: rfc822;full@postroad.test", "Final-Recipient: rfc822;gone@postroad.test"} {
		if !strings.Contains(strings.ReplaceAll(got, "; ", ";"), want) {
			t.Errorf("no report says %q:\n%.4000s", want, got)
		}
	}
}
