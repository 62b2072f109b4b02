package kit

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// PopNode is a node that serves POP3.
type PopNode struct {
	*Node
	POP3, POP3S string
}

// PopPassword is the password of all users.
const PopPassword = "correct horse"

// NewPopNode makes a node whose pop3 listener lets log in in clear, too.
func NewPopNode(t testing.TB, o NodeOptions) *PopNode {
	t.Helper()
	p := &PopNode{POP3: FreeAddr(t), POP3S: FreeAddr(t)}
	o.Extra += fmt.Sprintf(
		"[[listener]]\naddress = %q\nkind = \"pop3\"\nauth_without_tls = "+
			"true\n[[listener]]\naddress = %q\nkind = \"pop3s\"\n", p.POP3, p.POP3S)
	p.Node = NewNode(t, o)
	return p
}

// AddMailbox adds a user with SCRAM keys, whose mailbox gets what is in an mbox or a Maildir.
func (p *PopNode) AddMailbox(user, archive string) {
	p.T.Helper()
	p.AddUser(PopPassword, user, "--scram")
	var out []byte
	// the shards are made when the node has seen that it has users
	Eventually(p.T, time.Minute, func() bool {
		var err error
		out, err = exec.Command(p.Program, "mailbox", "import", user, archive, "--config",
			p.Config).CombinedOutput()
		if err != nil && !bytes.Contains(out, []byte("0 messages of")) {
			p.T.Fatalf("postroad mailbox import: %v\n%s", err, out)
		}
		return err == nil
	}, func() string { return fmt.Sprintf("nothing is imported: %s\n%s", out, p.Log()) })
}

// PopClient is a maildrop that fails the test on whatever is not expected.
type PopClient struct {
	*maildrop
	T testing.TB
}

// DialPOP3 connects, in clear or by TLS, and reads the greeting.
func DialPOP3(t testing.TB, addr string, secure bool) *PopClient {
	t.Helper()
	m, err := dialMaildrop(addr, secure, 5*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Conn.Close() })
	return &PopClient{m, t}
}

// LoginPOP3 connects and logs in.
func LoginPOP3(t testing.TB, addr, user, password string) *PopClient {
	t.Helper()
	c := DialPOP3(t, addr, false)
	if err := c.login(user, password); err != nil {
		t.Fatal(err)
	}
	return c
}

// Send sends a command, or several, and does not wait for an answer.
func (c *PopClient) Send(line string) {
	c.T.Helper()
	if _, err := c.Conn.Write([]byte(line + "\r\n")); err != nil {
		c.T.Fatal(err)
	}
}

// Say sends a command and returns the first line of its answer, which must be +OK.
func (c *PopClient) Say(command string) string {
	c.T.Helper()
	line, err := c.do(command)
	if err != nil {
		c.T.Fatalf("%s: %v", command, err)
	}
	return line
}

// Lines reads an answer of several lines and returns how many there are behind the first, and their
// octets.
func (c *PopClient) Lines() (n int, octets int64) {
	c.T.Helper()
	if _, err := c.line(); err != nil {
		c.T.Fatal(err)
	}
	for {
		line, err := c.In.ReadSlice('\n')
		if err != nil {
			c.T.Fatalf("after %d lines: %v", n, err)
		}
		if line[0] == '.' {
			if line = line[1:]; bytes.Equal(line, []byte("\r\n")) {
				return n, octets
			}
		}
		n, octets = n+1, octets+int64(len(line))
	}
}

// Listing asks for an answer of several lines, as Lines reads it.
func (c *PopClient) Listing(command string) (n int, octets int64) {
	c.T.Helper()
	c.Send(command)
	return c.Lines()
}

// Alice is the user of most POP3 scenarios.
const Alice = "alice@postroad.test"

// RunClient runs a client to its end and returns what it wrote.
func RunClient(t *testing.T, cmd *exec.Cmd) []byte {
	t.Helper()
	var errb bytes.Buffer
	cmd.Stderr = &errb
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%.3000s\n%.3000s", cmd.Args[0], err, out, errb.String())
	}
	return out
}

// Download retrieves all messages, with so many commands on their way, and returns their octets.
func (c *PopClient) Download(count, window int) (octets int64) {
	c.T.Helper()
	for first := 1; first <= count; first += window {
		last := min(first+window-1, count)
		var commands strings.Builder
		for i := first; i <= last; i++ {
			fmt.Fprintf(&commands, "RETR %d\r\n", i)
		}
		c.Send(strings.TrimSuffix(commands.String(), "\r\n"))
		for range last - first + 1 {
			_, n := c.Lines()
			octets += n
		}
	}
	return octets
}

// TryLogin logs in and out again, and returns the answer to the password.
func TryLogin(t testing.TB, addr, user string) string {
	t.Helper()
	c := DialPOP3(t, addr, false)
	defer c.Conn.Close()
	c.Say("USER " + user)
	c.Send("PASS " + PopPassword)
	answer, err := c.In.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(answer, "+OK") {
		c.Say("QUIT")
	}
	return strings.TrimSpace(answer)
}
