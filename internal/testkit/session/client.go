package session

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// Patience is how long a test waits for what must happen.
const Patience = 20 * time.Second

// Client is the other side of a connection. What must not be ends the test.
type Client struct {
	T    testing.TB
	Conn net.Conn
	In   *bufio.Reader
}

// Dial connects and does not wait for the greeting. The connection ends with the test.
func Dial(t testing.TB, address string) *Client {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return newClient(t, conn)
}

func newClient(t testing.TB, conn net.Conn) *Client {
	conn.SetDeadline(time.Now().Add(Patience))
	return &Client{t, conn, bufio.NewReader(conn)}
}

// StartTLS does the handshake and returns the client inside.
func (c *Client) StartTLS() *Client {
	c.T.Helper()
	inner := tls.Client(c.Conn, &tls.Config{InsecureSkipVerify: true})
	if err := inner.Handshake(); err != nil {
		c.T.Fatalf("handshake: %v", err)
	}
	return newClient(c.T, inner)
}

// Send sends octets.
func (c *Client) Send(octets string) {
	c.T.Helper()
	if _, err := io.WriteString(c.Conn, octets); err != nil {
		c.T.Fatalf("sending %.60q: %v", octets, err)
	}
}

// Flood sends what the server may refuse to read.
func (c *Client) Flood(octets string) { io.WriteString(c.Conn, octets) }

// Say sends a line and expects a reply that begins with want.
func (c *Client) Say(line, want string) string {
	c.T.Helper()
	c.Send(line + "\r\n")
	return c.Expect(want)
}

// Expect reads one whole reply, which is to begin with want.
func (c *Client) Expect(want string) string {
	c.T.Helper()
	reply := c.Reply()
	if !strings.HasPrefix(reply, want) {
		c.T.Fatalf("got %q, want %s", reply, want)
	}
	return reply
}

// Reply reads one whole reply, of which the last CRLF is left out. One that begins with a code and
// a hyphen has a further line (RFC 5321 4.2.1).
func (c *Client) Reply() string {
	c.T.Helper()
	var b strings.Builder
	for {
		line, err := c.In.ReadString('\n')
		if err != nil {
			c.T.Fatalf("no reply (after %q): %v", b.String()+line, err)
		}
		b.WriteString(line)
		if len(line) < 4 || line[0] < '2' || line[0] > '5' || line[3] != '-' {
			return strings.TrimSuffix(b.String(), "\r\n")
		}
	}
}

// ExpectEnd expects that the server closes without another word.
func (c *Client) ExpectEnd() {
	c.T.Helper()
	if rest, err := io.ReadAll(c.In); len(rest) > 0 || err != nil {
		c.T.Fatalf("got %q and %v, want the end of the connection", rest, err)
	}
}

// ExpectCut expects that the server says no more, be it with a reset, because it did not read all
// that was sent.
func (c *Client) ExpectCut() {
	c.T.Helper()
	if rest, err := io.ReadAll(c.In); len(rest) > 0 || IsTimeout(err) {
		c.T.Fatalf("got %q and %v, want the end of the connection", rest, err)
	}
}

// IsTimeout reports whether a read or a write took too long.
func IsTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}
