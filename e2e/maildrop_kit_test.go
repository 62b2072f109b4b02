package e2e

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/directory"
)

// maildrop is a connection to a POP3 server, and a session with one mailbox after the log-in.
type maildrop struct {
	conn net.Conn
	in   *bufio.Reader
}

// dialMaildrop connects, and reads the greeting. All of the session has to be over within limit.
func dialMaildrop(address string, secure bool, limit time.Duration) (*maildrop, error) {
	conn, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return nil, err
	}
	if secure {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	conn.SetDeadline(time.Now().Add(limit))
	m := &maildrop{conn, bufio.NewReaderSize(conn, 64<<10)}
	if _, err := m.line(); err != nil {
		conn.Close()
		return nil, err
	}
	return m, nil
}

// openMaildrop connects and logs in.
func openMaildrop(address, user string) (*maildrop, error) {
	m, err := dialMaildrop(address, false, 2*time.Minute)
	if err == nil {
		err = m.login(user, popPassword)
	}
	if err != nil {
		return nil, fmt.Errorf("%s at %s: %w", user, address, err)
	}
	return m, nil
}

// login logs in, or closes the connection.
func (m *maildrop) login(user, password string) error {
	for _, c := range []string{"USER " + user, "PASS " + password} {
		if _, err := m.do(c); err != nil {
			m.conn.Close()
			return err
		}
	}
	return nil
}

// line reads an answer, which must be +OK.
func (m *maildrop) line() (string, error) {
	line, err := m.in.ReadString('\n')
	if err == nil && !strings.HasPrefix(line, "+OK") {
		err = fmt.Errorf("it says %q", strings.TrimSpace(line))
	}
	return strings.TrimSpace(line), err
}

func (m *maildrop) do(command string) (string, error) {
	if _, err := fmt.Fprintf(m.conn, "%s\r\n", command); err != nil {
		return "", err
	}
	return m.line()
}

// count asks how many messages there are.
func (m *maildrop) count() (n int, err error) {
	line, err := m.do("STAT")
	if err == nil {
		_, err = fmt.Sscanf(line, "+OK %d", &n)
	}
	return n, err
}

// retrieve reads all messages, pipelined, and calls fn with each.
func (m *maildrop) retrieve(fn func(content []byte)) error {
	n, err := m.count()
	if err != nil {
		return err
	}
	go func() {
		w := bufio.NewWriter(m.conn)
		for i := range n {
			fmt.Fprintf(w, "RETR %d\r\n", i+1)
		}
		w.Flush()
	}()
	var content []byte
	for range n {
		if _, err := m.line(); err != nil {
			return err
		}
		if content, err = m.body(content[:0]); err != nil {
			return err
		}
		fn(content)
	}
	return nil
}

// body reads what ends with a line that is a dot.
func (m *maildrop) body(b []byte) ([]byte, error) {
	for {
		line, err := m.in.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return b, err
		}
		start := len(b) == 0 || b[len(b)-1] == '\n'
		if start && bytes.Equal(line, []byte(".\r\n")) {
			return b, nil
		}
		if start && line[0] == '.' {
			line = line[1:]
		}
		b = append(b, line...)
	}
}

func (m *maildrop) quit() error {
	_, err := m.do("QUIT")
	m.conn.Close()
	return err
}

// userNumber is the address of a user of importUsers.
func userNumber(i int) string { return fmt.Sprintf("u%d@postroad.test", i) }

// importUsers gives the node so many users of its local domain, with popPassword, and returns their
// addresses.
func (n *node) importUsers(count int) (all []string) {
	n.t.Helper()
	for i := range count {
		all = append(all, userNumber(i))
	}
	n.cli("user", "import", userFile(n.t, all))
	return all
}

// userFile writes a file of users that can be imported; all have the same password, whose hash
// costs next to nothing.
func userFile(t testing.TB, names []string) (path string) {
	t.Helper()
	hash, err := directory.HashPassword(popPassword, directory.Cost{MemoryKiB: 8, Passes: 1, Lanes: 1})
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

// makeMaildir makes the folders of a Maildir.
func makeMaildir(t testing.TB, dir string) {
	t.Helper()
	for _, d := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// writeMaildir writes messages as they are, with CRLF, into a new Maildir.
func writeMaildir(t testing.TB, dir string, messages [][]byte) {
	t.Helper()
	makeMaildir(t, dir)
	for i, m := range messages {
		if err := os.WriteFile(filepath.Join(dir, "cur", fmt.Sprintf("%d.M%dP1.test:2,", 1_700_000_000+i, i)), m, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// readMaildir returns the messages of a Maildir as they are, by path.
func readMaildir(t testing.TB, dir string) map[string][]byte {
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
