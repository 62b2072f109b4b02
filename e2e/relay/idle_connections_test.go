package relay

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/bench/measure"
	benchrun "github.com/postroad/postroad/bench/run"
	"github.com/postroad/postroad/e2e/kit"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// TestIdleConnections holds connections open that have said EHLO, in clear and after STARTTLS: what
// the one over the limit is told, and that others are taken when some have gone. POSTROAD_LONG=1:
// 10,000, and what each costs the node in memory.
func TestIdleConnections(t *testing.T) {
	conns := 200
	if kit.Long() {
		conns = 10_000
	}
	kit.RaiseFiles(t, conns+2000)
	for _, cell := range []struct {
		name  string
		tls   bool
		bound int64
	}{{"clear", false, 6 << 10}, {"STARTTLS", true, 30 << 10}} {
		t.Run(cell.name, func(t *testing.T) {
			w := kit.NewWorld(t, 1, mailtest.SinkOptions{})
			n := kit.NewNode(t, kit.NodeOptions{DNS: w.DNS.Addr(), Port: w.Port(),
				Limit: fmt.Sprintf("connections = %d", conns)})
			n.Start()
			// One connection first: what is made once is not what a connection costs.
			greet(t, n.Relay, cell.tls).Close()
			kit.Eventually(t, 10*time.Second, func() bool {
				return n.Metric("postroad_smtpd_connections_open") == 0
			}, func() string { return "the first connection stays" })
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
			if kit.Long() && each > cell.bound {
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
			kit.Eventually(t, 10*time.Second, func() bool {
				return n.Metric("postroad_smtpd_connections_open") <= float64(conns-10)
			}, func() string {
				return fmt.Sprintf("%.0f connections are open after 10 of %d were closed",
					n.Metric("postroad_smtpd_connections_open"), conns)
			})
			gen := &mailtest.Generator{Seed: 9, Run: "idle", Domains: w.Domains, Size: 4096}
			kit.SendFixed(t, n.Relay, gen, 0, 10, 1)
			for _, c := range open {
				c.Close()
			}
		})
	}
}

// greet opens a connection that is then idle.
func greet(t *testing.T, addr string, secure bool) net.Conn {
	c, err := benchrun.Greet(addr, secure)
	if err != nil {
		t.Errorf("idle connection: %v", err)
		c, _ = net.Pipe()
	}
	return c
}
