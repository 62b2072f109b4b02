package mailbox

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// TestLocalDelivery takes varied messages by SMTP and by LMTP into mailboxes. Below the trace
// header each is there as it was sent, octet for octet and once for each recipient, with the lines
// of final delivery in front, after the node was killed in the midst of it: 120 messages.
// POSTROAD_LONG=1: 400.
func TestLocalDelivery(t *testing.T) {
	lmtp := kit.FreeAddr(t)
	n := kit.NewNode(t, kit.NodeOptions{Extra: kit.LMTPListener(lmtp)})
	n.Start()
	users := n.ImportUsers(20)
	gen := &mailtest.Generator{Seed: 16, Run: "local", Domains: []string{"postroad.test"},
		MaxSize: 2 << 20, NoUTF8: true}
	part := func(from, count int) []mailtest.Sent {
		return kit.Send(t, mailtest.SendOptions{Addr: n.Relay, Connections: 8, Count: count,
			Message: kit.ToUsers(gen, users, from), Retries: 5}).Sent
	}
	each := kit.Rounds(60, 200)
	sent := part(0, each)
	n.Kill()
	n.Start()
	sent = append(sent, part(each, each)...)
	before := n.Delivered()
	lmtpSend(t, lmtp, "Subject: by LMTP\r\n\r\nhello\r\n", users[0], users[1])
	kit.Eventually(t, time.Minute, func() bool {
		return n.QueueEmpty() && n.Delivered() >= before+2
	}, func() string { return n.CLI("queue", "count") + n.Log() })

	stored, byLMTP := n.Mailboxes(users), 0
	for path, content := range stored {
		if strings.HasSuffix(string(content), "\r\nSubject: by LMTP\r\n\r\nhello\r\n") {
			byLMTP++
			delete(stored, path)
		}
	}
	if byLMTP != 2 {
		t.Errorf("%d messages came by LMTP, want 2", byLMTP)
	}
	if wrong := kit.WrongCopies(sent, stored); len(wrong) > 0 {
		t.Errorf("%d faults: %.2000s", len(wrong), strings.Join(wrong, "\n"))
	}
}

// lmtpSend delivers a message over LMTP, which takes it for each recipient.
func lmtpSend(t testing.TB, addr, content string, to ...string) {
	t.Helper()
	steps := []string{kit.Hello, "> MAIL FROM:<s@client.example>", "< 250 2.1.0 Sender ok"}
	for _, r := range to {
		steps = append(steps, "> RCPT TO:<"+r+">", "< 250 2.1.5 Recipient ok")
	}
	steps = append(steps, "> DATA", "< 354", "> "+strings.ReplaceAll(content, "\r\n", `\r\n`)+".")
	for range to {
		steps = append(steps, "< 250 2.0.0 Ok: queued as ")
	}
	kit.Play(t, addr, steps...)
}

// TestLocalReports: a mailbox over its soft quota is told so; one that stays full, and a user who
// is gone when the mail's turn comes, are reported to the sender, into a mailbox here.
func TestLocalReports(t *testing.T) {
	n := kit.NewNode(t,
		kit.NodeOptions{Extra: "[retry]\nschedule = [\"1s\"]\nexpire = \"20s\"\ndelay_warning = " +
			"\"0s\"\n"})
	n.Start()
	const hash = "{CRYPT}$2y$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe"
	name := filepath.Join(n.Dir, "users.csv")
	file := "address,hash,hard_quota,soft_quota\nsender@postroad.test," + hash +
		",,\nfull@postroad.test," + hash + ",10KiB,5KiB\ngone@postroad.test," + hash + ",,\n"
	if err := os.WriteFile(name, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	n.CLI("user", "import", name)
	body := "Subject: x\r\n\r\n" +
		strings.Repeat("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n", 130)
	kit.SendOne(t, n.Relay, "sender@postroad.test", body, "full@postroad.test")
	// with the warning of the soft quota
	kit.Eventually(t, time.Minute, func() bool { return n.Delivered() == 2 }, n.Log)
	kit.SendOne(t, n.Relay, "sender@postroad.test", body, "full@postroad.test")
	n.CLI("suspend", "--site", "local", "--reason", "test")
	kit.SendOne(t, n.Relay, "sender@postroad.test", body, "gone@postroad.test")
	n.CLI("user", "remove", "gone@postroad.test")
	n.CLI("resume", "--site", "local")

	all := func(user string) string {
		var all strings.Builder
		for _, content := range n.Mailboxes([]string{user}) {
			all.Write(content)
		}
		return all.String()
	}
	kit.Eventually(t, time.Minute, func() bool { return n.Delivered() == 4 }, n.Log)
	if got := all("full@postroad.test"); !strings.Contains(got,
		"holds more than 5KiB. At 10KiB no more mail") {
		t.Errorf("no warning of the soft quota: %.3000s", got)
	}
	got := all("sender@postroad.test")
	for _, want := range []string{"Status: 5.1.1", "Status: 5.2.2",
		"Final-Recipient: rfc822;full@postroad.test",
		"Final-Recipient: rfc822;gone@postroad.test"} {
		if !strings.Contains(strings.ReplaceAll(got, "; ", ";"), want) {
			t.Errorf("no report says %q:\n%.4000s", want, got)
		}
	}
}
