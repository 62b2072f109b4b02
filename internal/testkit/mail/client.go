package mail

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// client is one SMTP connection of a sender.
type client struct {
	o      *SendOptions
	nc     net.Conn
	r      *bufio.Reader
	out    []byte
	offers map[string]bool
}

// replyError is a reply that was not the wanted one.
type replyError string

func (e replyError) Error() string { return "reply: " + string(e) }

func isReply(err error) bool {
	var e replyError
	return errors.As(err, &e)
}

func permanent(err error) bool {
	var e replyError
	return errors.As(err, &e) && e[0] == '5'
}

// dial connects, and says hello, starts TLS and logs in as the options want.
func dial(ctx context.Context, o *SendOptions) (*client, error) {
	d := net.Dialer{Timeout: o.Timeout}
	nc, err := d.DialContext(ctx, "tcp", o.Addr)
	if err != nil {
		return nil, err
	}
	if o.ImplicitTLS {
		nc = tls.Client(nc, o.TLS)
	}
	c := &client{o: o, nc: nc, r: bufio.NewReader(nc)}
	if err := c.greet(); err != nil {
		nc.Close()
		return nil, fmt.Errorf("opening a session: %w", err)
	}
	return c, nil
}

func (c *client) greet() error {
	if _, err := c.expect("220"); err != nil {
		return err
	}
	if err := c.hello(); err != nil {
		return err
	}
	if c.o.TLS != nil && !c.o.ImplicitTLS {
		if _, err := c.ask("STARTTLS", "220"); err != nil {
			return err
		}
		tc := tls.Client(c.nc, c.o.TLS)
		c.nc, c.r = tc, bufio.NewReader(tc)
		if err := c.hello(); err != nil {
			return err
		}
	}
	if c.o.Username == "" {
		return nil
	}
	login := base64.StdEncoding.EncodeToString([]byte("\x00" + c.o.Username + "\x00" +
		c.o.Password))
	_, err := c.ask("AUTH PLAIN "+login, "235")
	return err
}

func (c *client) hello() error {
	text, err := c.ask("EHLO "+c.o.Host, "250")
	c.offers = map[string]bool{}
	for line := range strings.Lines(text) {
		if len(line) > 4 {
			keyword, _, _ := strings.Cut(strings.TrimSpace(line[4:]), " ")
			c.offers[strings.ToUpper(keyword)] = true
		}
	}
	return err
}

// drop closes the connection; it returns nil, for its owner.
func (c *client) drop() *client {
	if c != nil {
		c.nc.Close()
	}
	return nil
}

// quit ends the session in order.
func (c *client) quit() *client {
	if c != nil {
		_, _ = c.ask("QUIT", "221") // the messages are safe; how it ends does not matter
		c.nc.Close()
	}
	return nil
}

// ask sends a command and returns the reply, which must begin with want.
func (c *client) ask(command, want string) (string, error) {
	c.out = append(append(c.out, command...), "\r\n"...)
	if err := c.flush(); err != nil {
		return "", err
	}
	return c.expect(want)
}

func (c *client) flush() error {
	if err := c.nc.SetDeadline(time.Now().Add(c.o.Timeout)); err != nil {
		return err
	}
	_, err := c.nc.Write(c.out)
	c.out = c.out[:0]
	return err
}

// expect reads a reply, which must begin with want. A multi-line reply is returned whole.
func (c *client) expect(want string) (string, error) {
	text := ""
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return text, err
		}
		if len(line) < 4 {
			return text, fmt.Errorf("no reply: %q", line)
		}
		text += string(line)
		if line[3] != '-' {
			break
		}
	}
	if !strings.HasPrefix(text, want) {
		return text, replyError(strings.TrimSpace(text))
	}
	return text, nil
}
