package e2e

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// popNode is a node that serves POP3.
type popNode struct {
	*node
	POP3, POP3S string
}

const popPassword = "correct horse"

// newPopNode makes a node whose pop3 listener lets log in in clear, too.
func newPopNode(t testing.TB, o nodeOptions) *popNode {
	t.Helper()
	p := &popNode{POP3: freeAddr(t), POP3S: freeAddr(t)}
	o.Extra += fmt.Sprintf("[[listener]]\naddress = %q\nkind = \"pop3\"\nauth_without_tls = true\n[[listener]]\naddress = %q\nkind = \"pop3s\"\n", p.POP3, p.POP3S)
	p.node = newNode(t, o)
	return p
}

// addMailbox adds a user with SCRAM keys, whose mailbox gets what is in an mbox or a Maildir.
func (p *popNode) addMailbox(user, archive string) {
	p.t.Helper()
	p.addUser(popPassword, user, "--scram")
	var out []byte
	eventually(p.t, time.Minute, func() bool { // the shards are made when the node has seen that it has users
		var err error
		out, err = exec.Command(p.program, "mailbox", "import", user, archive, "--config", p.Config).CombinedOutput()
		if err != nil && !bytes.Contains(out, []byte("0 messages of")) {
			p.t.Fatalf("postroad mailbox import: %v\n%s", err, out)
		}
		return err == nil
	}, func() string { return fmt.Sprintf("nothing is imported: %s\n%s", out, p.log()) })
}

// uniform returns n messages of size octets each, which their first lines tell apart.
func uniform(n, size int) [][]byte {
	line := strings.Repeat("0123456789ABCDEF", 4)[:62] + "\r\n"
	messages := make([][]byte, n)
	for i := range messages {
		b := fmt.Appendf(make([]byte, 0, size), "From: a@client.example\r\nTo: b@postroad.test\r\nSubject: message %d\r\n\r\n", i)
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

// popClient is a maildrop that fails the test on whatever is not expected.
type popClient struct {
	*maildrop
	t testing.TB
}

func dialPOP3(t testing.TB, addr string, secure bool) *popClient {
	t.Helper()
	m, err := dialMaildrop(addr, secure, 5*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.conn.Close() })
	return &popClient{m, t}
}

// loginPOP3 connects and logs in.
func loginPOP3(t testing.TB, addr, user, password string) *popClient {
	t.Helper()
	c := dialPOP3(t, addr, false)
	if err := c.login(user, password); err != nil {
		t.Fatal(err)
	}
	return c
}

// send sends a command, or several, and does not wait for an answer.
func (c *popClient) send(line string) {
	c.t.Helper()
	if _, err := c.conn.Write([]byte(line + "\r\n")); err != nil {
		c.t.Fatal(err)
	}
}

// say sends a command and returns the first line of its answer, which must be +OK.
func (c *popClient) say(command string) string {
	c.t.Helper()
	line, err := c.do(command)
	if err != nil {
		c.t.Fatalf("%s: %v", command, err)
	}
	return line
}

// lines reads an answer of several lines and returns how many there are behind the first, and their
// octets.
func (c *popClient) lines() (n int, octets int64) {
	c.t.Helper()
	if _, err := c.line(); err != nil {
		c.t.Fatal(err)
	}
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			c.t.Fatalf("after %d lines: %v", n, err)
		}
		if line[0] == '.' {
			if line = line[1:]; bytes.Equal(line, []byte("\r\n")) {
				return n, octets
			}
		}
		n, octets = n+1, octets+int64(len(line))
	}
}

// listing asks for an answer of several lines, as lines reads it.
func (c *popClient) listing(command string) (n int, octets int64) {
	c.t.Helper()
	c.send(command)
	return c.lines()
}

// text returns an answer of several lines.
func (c *popClient) text(command string) string {
	c.t.Helper()
	c.say(command)
	b, err := c.body(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(b)
}
