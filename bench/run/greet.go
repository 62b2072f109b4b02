package run

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"time"
)

// Greet opens a connection, says EHLO and, if secure, STARTTLS and EHLO again: a connection that is
// then idle.
func Greet(addr string, secure bool) (net.Conn, error) {
	c, err := net.DialTimeout("tcp", addr, time.Minute)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(10 * time.Minute))
	err = dialogue(c, "", "EHLO idle.example\r\n")
	if err == nil && secure {
		if err = dialogue(c, "STARTTLS\r\n"); err == nil {
			c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
			err = dialogue(c, "EHLO idle.example\r\n")
		}
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// dialogue sends lines and reads a 2xx reply to each; "" only reads.
func dialogue(c net.Conn, lines ...string) error {
	buf := make([]byte, 4096)
	for _, line := range lines {
		if _, err := c.Write([]byte(line)); err != nil {
			return err
		}
		got := ""
		for !finalLine(got) {
			n, err := c.Read(buf)
			if err != nil {
				return fmt.Errorf("after %q: %w (%q)", line, err, got)
			}
			got += string(buf[:n])
		}
		if got[0] != '2' {
			return fmt.Errorf("%q: %q", line, got)
		}
	}
	return nil
}

// finalLine reports whether a reply's last line has come.
func finalLine(s string) bool {
	if !strings.HasSuffix(s, "\r\n") {
		return false
	}
	last := s[strings.LastIndexByte(s[:len(s)-2], '\n')+1:]
	return len(last) > 3 && last[3] == ' '
}
