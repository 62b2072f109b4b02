package kit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postroad/postroad/directory"
)

// UserNumber is the address of a user of importUsers.
func UserNumber(i int) string { return fmt.Sprintf("u%d@postroad.test", i) }

// ImportUsers gives the node so many users of its local domain, with popPassword, and returns their
// addresses.
func (n *Node) ImportUsers(count int) (all []string) {
	n.T.Helper()
	for i := range count {
		all = append(all, UserNumber(i))
	}
	n.CLI("user", "import", UserFile(n.T, all))
	return all
}

// UserFile writes a file of users that can be imported; all have the same password, whose hash
// costs next to nothing.
func UserFile(t testing.TB, names []string) (path string) {
	t.Helper()
	hash, err := directory.HashPassword(PopPassword,
		directory.Cost{MemoryKiB: 8, Passes: 1, Lanes: 1})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("address,hash\n")
	for _, name := range names {
		fmt.Fprintf(&b, "%s,\"{ARGON2ID}%s\"\n", name, hash)
	}
	path = filepath.Join(t.TempDir(), "users.csv")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// MakeMaildir makes the folders of a Maildir.
func MakeMaildir(t testing.TB, dir string) {
	t.Helper()
	for _, d := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// WriteMaildir writes messages as they are, with CRLF, into a new Maildir.
func WriteMaildir(t testing.TB, dir string, messages [][]byte) {
	t.Helper()
	MakeMaildir(t, dir)
	for i, m := range messages {
		if err := os.WriteFile(filepath.Join(dir, "cur",
			fmt.Sprintf("%d.M%dP1.test:2,", 1_700_000_000+i, i)), m, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// ReadMaildir returns the messages of a Maildir as they are, by path.
func ReadMaildir(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	stored := map[string][]byte{}
	for _, d := range []string{"cur", "new"} {
		files, err := filepath.Glob(filepath.Join(dir, d, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if stored[f], err = os.ReadFile(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	return stored
}

// Uniform returns n messages of size octets each, which their first lines tell apart.
func Uniform(n, size int) [][]byte {
	line := strings.Repeat("0123456789ABCDEF", 4)[:62] + "\r\n"
	messages := make([][]byte, n)
	for i := range messages {
		b := fmt.Appendf(make([]byte, 0, size),
			"From: a@client.example\r\nTo: b@postroad.test\r\nSubject: message %d\r\n\r\n", i)
		for len(b)+len(line) <= size {
			b = append(b, line...)
		}
		if left := size - len(b); left >= 2 {
			b = append(b, line[len(line)-left:]...)
		}
		messages[i] = b
	}
	return messages
}

// Delivered is how many recipients' mail is in mailboxes.
func (n *Node) Delivered() int64 {
	return int64(n.Metric(`postroad_delivery_outcomes_total{outcome="delivered"}`))
}

// Mailboxes exports the users' mailboxes and returns their messages by path. Each must have the
// lines of final delivery in front.
func (n *Node) Mailboxes(users []string) map[string][]byte {
	n.T.Helper()
	stored := map[string][]byte{}
	for _, u := range users {
		dir := filepath.Join(n.T.TempDir(), "box")
		n.CLI("mailbox", "export", u, dir, "--format", "maildir")
		for f, b := range ReadMaildir(n.T, dir) {
			if !strings.HasPrefix(string(b), "Return-Path: <") ||
				!strings.Contains(string(b), "\r\nDelivered-To: "+u+"\r\n") {
				n.T.Errorf("%s begins with %.100q", f, b)
			}
			stored[f] = b
		}
	}
	return stored
}

// AddUser adds a user with a password.
func (n *Node) AddUser(password string, args ...string) {
	n.T.Helper()
	cmd := exec.Command(n.Program,
		append([]string{"user", "add", "--password-stdin", "--config", n.Config}, args...)...)
	cmd.Stdin = strings.NewReader(password + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		n.T.Fatalf("postroad user add %v: %v: %s", args, err, out)
	}
}
