package e2e

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/postroad/postroad/bench/measure"
	"github.com/postroad/postroad/internal/mailtest"
)

// TestIdleConnections holds connections open that have said EHLO: what each costs the node in memory, in clear and after STARTTLS, and what the one over
// the limit is told. POSTROAD_LONG=1: 10,000.
func TestIdleConnections(t *testing.T) {
	conns := 1000
	if long() {
		conns = 10_000
	}
	raiseFiles(t, conns+2000)
	for _, cell := range []struct {
		name  string
		tls   bool
		bound int64
	}{{"clear", false, 6 << 10}, {"STARTTLS", true, 30 << 10}} {
		t.Run(cell.name, func(t *testing.T) {
			w := newWorld(t, 1, mailtest.SinkOptions{})
			n := newNode(t, nodeOptions{DNS: w.DNS.Addr(), Port: w.port(), Limit: fmt.Sprintf("connections = %d", conns)})
			n.start()
			// One connection first: what is made once is not what a connection costs.
			greet(t, n.Relay, cell.tls).Close()
			eventually(t, 10*time.Second, func() bool { return n.metric("postroad_smtpd_connections_open") == 0 }, func() string { return "the first connection stays" })
			before := measure.Status(n.PID(), "VmRSS")
			open := make([]net.Conn, conns)
			var wg sync.WaitGroup
			for part := range 8 {
				wg.Go(func() {
					for i := part; i < conns; i += 8 {
						open[i] = greet(t, n.Relay, cell.tls)
					}
				})
			}
			wg.Wait()
			if t.Failed() {
				t.FailNow()
			}
			each := (measure.Status(n.PID(), "VmRSS") - before) / int64(conns)
			t.Logf("%d idle connections: %.1f KiB each", conns, float64(each)/1024)
			if each > cell.bound {
				t.Errorf("the bound is %d KiB", cell.bound>>10)
			}
			over, err := net.Dial("tcp", n.Relay)
			if err != nil {
				t.Fatal(err)
			}
			over.SetDeadline(time.Now().Add(30 * time.Second))
			line, err := bufio.NewReader(over).ReadString('\n')
			if err != nil || !strings.HasPrefix(line, "421 ") {
				t.Errorf("the connection over the limit got %q, %v", line, err)
			}
			over.Close()
			for _, c := range open[:10] {
				c.Close()
			}
			eventually(t, 10*time.Second, func() bool { return n.metric("postroad_smtpd_connections_open") <= float64(conns-10) }, func() string {
				return fmt.Sprintf("%.0f connections are open after 10 of %d were closed", n.metric("postroad_smtpd_connections_open"), conns)
			})
			gen := &mailtest.Generator{Seed: 9, Run: "idle", Domains: w.Domains, Size: 4096}
			sendFixed(t, n.Relay, gen, 0, 10, 1)
			for _, c := range open {
				c.Close()
			}
		})
	}
}

// greet opens a connection, says EHLO and, if asked to, STARTTLS and EHLO again.
func greet(t *testing.T, addr string, secure bool) net.Conn {
	fail := func(err error) net.Conn {
		t.Errorf("idle connection: %v", err)
		c, _ := net.Pipe()
		return c
	}
	c, err := net.DialTimeout("tcp", addr, time.Minute)
	if err != nil {
		return fail(err)
	}
	c.SetDeadline(time.Now().Add(2 * time.Minute))
	if err := dialogue(c, "", "EHLO idle.example\r\n"); err != nil {
		return fail(err)
	}
	if !secure {
		return c
	}
	if err := dialogue(c, "STARTTLS\r\n"); err != nil {
		return fail(err)
	}
	s := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	if err := dialogue(s, "EHLO idle.example\r\n"); err != nil {
		return fail(err)
	}
	return s
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

func raiseFiles(t *testing.T, want int) {
	t.Helper()
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		t.Fatal(err)
	}
	if l.Cur < uint64(want) {
		l.Cur = min(l.Max, uint64(want))
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil || l.Cur < uint64(want) {
			t.Fatalf("this test needs %d descriptors, the limit is %d", want, l.Max)
		}
	}
}
