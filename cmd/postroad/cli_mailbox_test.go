package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/mailbox"
	"github.com/postroad/postroad/mailbox/archive"
)

// cliMailboxes has alice's mailbox, as a stream of messages. What is imported for anybody else is
// kept; its third message fails.
type cliMailboxes struct {
	mu   sync.Mutex
	kept map[string][]string
}

var aliceBox = mailbox.Mailbox{Ref: mailbox.Ref{Address: "alice@example.net", Number: 7},
	Settings: mailbox.Settings{Hard: 1 << 20}, Messages: 2, Bytes: 1 << 19,
	Created: time.Unix(1e9, 0)}

func (*cliMailboxes) Each(_ context.Context, fn func(*mailbox.Mailbox) bool) error {
	fn(&aliceBox)
	return nil
}

func (*cliMailboxes) Show(
	_ context.Context, address string,
) (mailbox.Mailbox, []mailbox.Folder, error) {
	if address != aliceBox.Address {
		return mailbox.Mailbox{}, nil, fmt.Errorf("%s: %w", address, mailbox.ErrNoMailbox)
	}
	return aliceBox,
		[]mailbox.Folder{{Number: 1, Name: "INBOX", Messages: 2, Bytes: 1 << 19, Unseen: 1}}, nil
}

func (b *cliMailboxes) Export(ctx context.Context, address string, w io.Writer) error {
	if _, _, err := b.Show(ctx, address); err != nil {
		return err
	}
	out := archive.NewStreamWriter(w)
	for _, content := range []string{"Subject: one\r\n\r\nFrom here\r\n", "Subject: two\r\n\r\n"} {
		if err := out.Write(&archive.Message{Folder: "INBOX", Flags: mailbox.Seen,
			Date: time.Unix(1e9, 0), Content: []byte(content)}); err != nil {
			return err
		}
	}
	return out.Close()
}

func (b *cliMailboxes) Import(
	_ context.Context, address string, skip int64, r io.Reader, done func(int64),
) (n int64, err error) {
	in := archive.NewStreamReader(r)
	for n = 0; ; n++ {
		m, err := in.Next()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil || n == 2 {
			return n, errors.Join(err, errors.New("the shard has no owner"))
		}
		if n >= skip {
			b.mu.Lock()
			b.kept[address] = append(b.kept[address], string(m.Content))
			b.mu.Unlock()
			done(n + 1)
		}
	}
}

func TestMailboxCommands(t *testing.T) {
	n := startCLINode(t)
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	three := "From a Sat Nov 28 10:11:12 2026\n1\n\nFrom a Sat Nov 28 10:11:12 2026\n2\n\nFrom " +
		"a Sat Nov 28 10:11:12 2026\n3\n"
	if err := os.WriteFile(path("three.mbox"), []byte(three), 0o600); err != nil {
		t.Fatal(err)
	}
	glued := strings.ReplaceAll(three[:strings.LastIndex(three, "From ")], "\n\n", "\n")
	if err := os.WriteFile(path("glued.mbox"), []byte(glued), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"1": "A: b\n", "2": "\xfd7zXZ\x00"} {
		cur := filepath.Join(path("xz"), "cur")
		if err := errors.Join(os.MkdirAll(cur, 0o700),
			os.WriteFile(filepath.Join(cur, name), []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args string
		want int
		says string
	}{
		{"list", 0, "2    512KiB  alice@example.net  50% of 1MiB\n2 messages in 1 mailbox"},
		{"list --json", 0, `"address":"alice@example.net","messages":2`},
		{"list more", 64, "more"},
		{"show alice@example.net", 0, "INBOX  (1 unseen)"},
		{"show alice@example.net --json", 0, `"folders":[{"name":"INBOX"`},
		{"show", 64, "one mailbox's address"},
		{"show bob@example.net", 65, "bob@example.net: no such mailbox"},
		{"export alice@example.net -", 0, "Subject: one\n\n>From here\n"},
		{"export alice@example.net " + path("1.mbox"), 0,
			"2 messages of alice@example.net exported"},
		{"export alice@example.net " + path("1.mbox"), 65, "exists"},
		{"export bob@example.net " + path("2.mbox"), 65, "no such mailbox"},
		{"export alice@example.net", 64, "a path are needed"},
		{"export alice@example.net x --format tar", 64, "use mbox or maildir"},
		{"export alice@example.net " + path("md") + " --format maildir", 0, "2 messages"},
		{"export --all " + path("all"), 0, "2 messages of alice@example.net exported"},
		{"export --all " + path("all"), 65, "is not empty"},
		{"import bob@example.net " + path("1.mbox"), 0, "2 messages of"},
		{"import --all " + path("all"), 0, "alice@example.net.mbox imported"},
		{"import carol@example.net " + path("md"), 0, "2 messages of"},
		{"import carol@example.net " + path("nothing"), 65, "no such file"},
		{"import dave@example.net " + path("three.mbox"), 75, "--skip 2 dave@example.net"},
		{"import erin@example.net " + path("three.mbox") + " --skip -1", 64, "--skip"},
		{"import erin@example.net " + path("glued.mbox"), 0,
			"glued.mbox imported\n1 message with no empty line before the \"From \" line"},
		{"import frank@example.net " + path("xz"), 65, "1 message of " + path("xz") +
			" imported\n1 file refused: compressed with xz, to be unpacked with " +
			"`xz -dc <FILE >NEW`: " + filepath.Join(path("xz"), "cur", "2") + "\n"},
		{"import frank@example.net " + path("xz"), 65, "1 file refused, all else was imported"},
	} {
		status, out,
			errs := postroad(t, "", append([]string{"mailbox"}, strings.Fields(c.args)...)...)
		if status != c.want || !strings.Contains(out+errs, c.says) {
			t.Errorf("mailbox %s: exit %d, want %d\n%s%s", c.args, status, c.want, out, errs)
		}
	}
	want := []string{"Subject: one\r\n\r\nFrom here\r\n", "Subject: two\r\n\r\n"}
	for _, who := range []string{"alice", "bob", "carol"} {
		if got := n.boxes.kept[who+"@example.net"]; fmt.Sprintf("%q", got) != fmt.Sprintf("%q",
			want) {
			t.Errorf("%s has %q, want %q", who, got, want)
		}
	}
	if b, err := os.ReadFile(path("1.mbox")); err != nil ||
		bytes.Count(b, []byte("\nX-Postroad: ")) != 2 {
		t.Errorf("the mbox is %q (%v)", b, err)
	}
}
