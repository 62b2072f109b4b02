package mailbox

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/bench/measure"
	"github.com/postroad/postroad/e2e/kit"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// TestMillionInMailboxes delivers messages of 4 KiB into mailboxes of one node, restarts it, and
// takes a mailbox out and in again: 2,000 in 20 mailboxes. POSTROAD_LONG=1: a million in 10,000,
// within bounds of time and memory.
func TestMillionInMailboxes(t *testing.T) {
	total, boxes := 2000, 20
	if kit.Long() {
		total, boxes = 1_000_000, 10_000
	}
	kit.NeedProgram(t, "python3", "python3")
	n := kit.NewNode(t, kit.NodeOptions{})
	n.Start()
	user := func(i int) string { return kit.UserNumber(i % boxes) }
	names := []string{user(0), "copy1@postroad.test", "copy2@postroad.test"}
	for i := range boxes - 1 {
		names = append(names, user(i+1))
	}
	n.CLI("user", "import", kit.UserFile(t, names))
	gen := &mailtest.Generator{Seed: 15, Run: "boxes", Domains: []string{"postroad.test"},
		Size: 4096}
	start := time.Now()
	report := kit.Send(t, mailtest.SendOptions{Addr: n.Relay, Connections: 50, Count: total,
		Pipelining: true, Forget: true, Message: func(i int) *mailtest.Message {
			m := gen.Message(i)
			m.Recipients = []string{user(i)}
			return m
		}})
	there := func() bool { return int(n.Metric("postroad_mailbox_messages")) >= total }
	kit.Eventually(t, 10*time.Minute, there, func() string {
		return fmt.Sprintf("%.0f messages are in mailboxes", n.Metric("postroad_mailbox_messages"))
	})
	rss := measure.Status(n.PID(), "VmHWM")
	t.Logf("%d messages accepted at %.0f/s, in %d mailboxes at %.0f/s; peak RSS %d MiB", total,
		float64(total)/report.Elapsed.Seconds(), boxes,
		float64(total)/time.Since(start).Seconds(), rss/kit.Mebibyte)
	if kit.Long() && rss > 700*kit.Mebibyte {
		t.Errorf("peak RSS is %d MiB, the bound is 700", rss/kit.Mebibyte)
	}

	n.Stop()
	start = time.Now()
	n.Start()
	ready := time.Since(start)
	kit.Eventually(t, time.Minute, there, func() string {
		return "the mailboxes are not served again"
	})
	t.Logf("restart to ready: %.1f s, until all shards are served %.1f s", ready.Seconds(),
		time.Since(start).Seconds())
	if served := time.Since(start); kit.Long() && served > 30*time.Second {
		t.Errorf("restart to serving took %v, the bound is 30 s", served)
	}
	if got := int(n.Metric("postroad_mailbox_messages")); got != total {
		t.Errorf("%d messages are in mailboxes, %d were accepted", got, total)
	}
	if list := n.CLI("mailbox", "list", "--json"); bytes.Count([]byte(list),
		[]byte("\n")) != boxes {
		t.Errorf("%d mailboxes are listed, want %d", bytes.Count([]byte(list), []byte("\n")), boxes)
	}
	if show := n.CLI("mailbox", "show", user(0)); !strings.Contains(show, "INBOX") ||
		!strings.Contains(show, fmt.Sprintf("(%d unseen)", total/boxes)) {
		t.Errorf("a mailbox is shown as\n%s", show)
	}
	roundTrip(n, user(0), "copy1@postroad.test", "copy2@postroad.test", total/boxes)
	rss = measure.Status(n.PID(), "VmHWM")
	t.Logf("peak RSS since the restart %d MiB", rss/kit.Mebibyte)
	if kit.Long() && rss > 700*kit.Mebibyte {
		t.Errorf("peak RSS since the restart is %d MiB, the bound is 700", rss/kit.Mebibyte)
	}
}

// roundTrip exports a mailbox, imports it into two others, as mbox and as Maildir, and exports
// these: all exports must be the same, octet for octet.
func roundTrip(n *kit.Node, from, viaMbox, viaMaildir string, messages int) {
	n.T.Helper()
	path := func(name string) string { return filepath.Join(n.Dir, name) }
	n.CLI("mailbox", "export", from, path("1.mbox"))
	n.CLI("mailbox", "export", from, path("maildir"), "--format", "maildir")
	n.CLI("mailbox", "import", viaMbox, path("1.mbox"))
	n.CLI("mailbox", "import", viaMaildir, path("maildir"))
	n.CLI("mailbox", "export", viaMbox, path("2.mbox"))
	n.CLI("mailbox", "export", viaMaildir, path("3.mbox"))
	first, err := os.ReadFile(path("1.mbox"))
	if err != nil {
		n.T.Fatal(err)
	}
	if got := bytes.Count(first, []byte("\nX-Postroad: size=")); got != messages {
		n.T.Errorf("the export has %d messages, want %d", got, messages)
	}
	for _, name := range []string{"2.mbox", "3.mbox"} {
		again, err := os.ReadFile(path(name))
		if err != nil {
			n.T.Fatal(err)
		}
		if !bytes.Equal(again, first) {
			n.T.Errorf("%s has %d octets and the first export %d, or they differ", name, len(again),
				len(first))
		}
	}
	foreign := fmt.Sprintf(
		"import mailbox\nfor m in mailbox.mbox(%q), mailbox.Maildir(%q): print(len(m), "+
			"min(len(x.as_bytes()) for x in m) > 4000)", path("1.mbox"), path("maildir"))
	out, err := exec.Command("python3", "-c", foreign).CombinedOutput()
	if want := fmt.Sprintf("%d True\n%d True\n", messages, messages); err != nil ||
		string(out) != want {
		n.T.Errorf("Python reads %q (%v), want %q", out, err, want)
	}
	if !kit.Long() { // which would take all of a million messages
		allMailboxes(n, path("all"), first, viaMbox)
	}
	n.T.Logf("export and import as mbox and as Maildir: the same %d octets", len(first))
}

// allMailboxes exports all mailboxes, and imports them on top of what is there.
func allMailboxes(n *kit.Node, dir string, want []byte, address string) {
	n.T.Helper()
	before := n.Metric("postroad_mailbox_messages")
	n.CLI("mailbox", "export", "--all", dir)
	if got, err := os.ReadFile(filepath.Join(dir, address+".mbox")); err != nil ||
		!bytes.Equal(got, want) {
		n.T.Errorf("in the export of all mailboxes that of %s has %d octets, want %d: %v", address,
			len(got), len(want), err)
	}
	n.CLI("mailbox", "import", "--all", dir)
	if after := n.Metric("postroad_mailbox_messages"); after != 2*before {
		n.T.Errorf("%.0f messages were exported and imported, and then there were %.0f", before,
			after)
	}
}
