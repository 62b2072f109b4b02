package mail

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// Talk is a raw connection to a server, for tests that say each command themselves. It is used by
// one goroutine.
type Talk struct {
	net.Conn
	In *bufio.Reader
}

// StartTalk connects to a server. The whole talk has to be over within limit.
func StartTalk(addr string, limit time.Duration) (*Talk, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &Talk{c, bufio.NewReader(c)}, c.SetDeadline(time.Now().Add(limit))
}

// Play goes through a script, a step a line:
//
//   - "> COMMAND" sends a command; \r\n in it ends a line;
//   - "< 250 2.1" reads a reply, whose last line has to begin so;
//   - "." says that the server has to close the connection.
func (t *Talk) Play(script string) error {
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "> "):
			if _, err := io.WriteString(t, strings.ReplaceAll(line[2:], `\r\n`, "\r\n")+
				"\r\n"); err != nil {
				return fmt.Errorf("%s: %w", line, err)
			}
		case strings.HasPrefix(line, "< "):
			got, err := t.reply()
			if err != nil {
				return fmt.Errorf("%s: after %q: %w", line, got, err)
			}
			if !strings.HasPrefix(got, line[2:]) {
				return fmt.Errorf("got %q, want %q", got, line[2:])
			}
		case line == ".":
			if c, err := t.In.ReadByte(); err == nil || isTimeout(err) {
				return fmt.Errorf("the connection is still open: %q, %w", c, err)
			}
		}
	}
	return nil
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}

// reply reads to the last line of a reply.
func (t *Talk) reply() (string, error) {
	for {
		line, err := t.In.ReadString('\n')
		if err != nil || len(line) < 4 || line[3] != '-' {
			return strings.TrimSpace(line), err
		}
	}
}
