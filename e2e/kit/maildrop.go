package kit

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"time"
)

// maildrop is a connection to a POP3 server, and a session with one mailbox after the log-in.
type maildrop struct {
	Conn net.Conn
	In   *bufio.Reader
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

// OpenMaildrop connects and logs in.
func OpenMaildrop(address, user string) (*maildrop, error) {
	m, err := dialMaildrop(address, false, 2*time.Minute)
	if err == nil {
		err = m.login(user, PopPassword)
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
			m.Conn.Close()
			return err
		}
	}
	return nil
}

// line reads an answer, which must be +OK.
func (m *maildrop) line() (string, error) {
	line, err := m.In.ReadString('\n')
	if err == nil && !strings.HasPrefix(line, "+OK") {
		err = fmt.Errorf("it says %q", strings.TrimSpace(line))
	}
	return strings.TrimSpace(line), err
}

func (m *maildrop) do(command string) (string, error) {
	if _, err := fmt.Fprintf(m.Conn, "%s\r\n", command); err != nil {
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
		w := bufio.NewWriter(m.Conn)
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
		if content, err = m.Body(content[:0]); err != nil {
			return err
		}
		fn(content)
	}
	return nil
}

// Body reads what ends with a line that is a dot.
func (m *maildrop) Body(b []byte) ([]byte, error) {
	for {
		line, err := m.In.ReadSlice('\n')
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

// Quit ends the session, which is when what was marked is removed.
func (m *maildrop) Quit() error {
	_, err := m.do("QUIT")
	m.Conn.Close()
	return err
}
