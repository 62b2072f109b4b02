package eventloop

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

// TestIdleConnections measures what idle connections cost a server process, as the growth of its
// resident set, and bounds it. The server is this test's binary in a process of its own. Each
// connection has said hello and been answered, so that what a connection needs once has been
// needed.
func TestIdleConnections(t *testing.T) {
	if mode := os.Getenv("EVENTLOOP_IDLE_SERVER"); mode != "" {
		idleServer(t, mode)
		return
	}
	for _, tc := range []struct {
		mode        string
		version     uint16
		connections int
		limit       int
	}{
		{"clear", 0, 2000, 3 << 10},
		{"tls", tls.VersionTLS12, 500, 20 << 10},
		{"tls", tls.VersionTLS13, 500, 20 << 10},
	} {
		t.Run(fmt.Sprintf("%s-%x", tc.mode, tc.version), func(t *testing.T) {
			s := startIdleServer(t, tc.mode)
			hello(t, s.dial(t), tc.version) // what all connections share
			before := s.resident(t)
			for range tc.connections {
				hello(t, s.dial(t), tc.version)
			}
			dirty, clean := s.rss(t), s.resident(t)
			t.Logf("per connection: %d octets, %d after a collection",
				(dirty-before)/tc.connections, (clean-before)/tc.connections)
			// the race detector has memory of its own
			if per := (clean - before) / tc.connections; per > tc.limit && !raceEnabled {
				t.Errorf("an idle connection costs %d octets, limit %d", per, tc.limit)
			}
		})
	}
}

func hello(t *testing.T, c net.Conn, version uint16) {
	if version != 0 {
		c = tls.Client(c, clientTLS(version))
	}
	ask(t, c, "EHLO client.example\r\n", "EHLO client.example\r\n")
}

// idleServer echoes. A line on standard input has it collect garbage and answer.
func idleServer(t *testing.T, mode string) {
	var lo ListenerOptions
	if mode == "tls" {
		lo.TLS = serverTLS
	}
	s := serve(t, Options{ReserveFiles: 100, tick: 100 * time.Millisecond}, lo,
		fake{open: func(c *Conn) { c.SetDeadline(5 * time.Minute) }})
	fmt.Println(s.addr)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		runtime.GC() // twice, for the pools
		debug.FreeOSMemory()
		fmt.Println("collected")
	}
}

type idleProcess struct {
	server
	pid int
	in  io.Writer
	out *bufio.Scanner
}

func startIdleServer(t *testing.T, mode string) *idleProcess {
	cmd := exec.Command(os.Args[0], "-test.run=^TestIdleConnections$")
	cmd.Env = append(os.Environ(), "EVENTLOOP_IDLE_SERVER="+mode)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	p := &idleProcess{pid: cmd.Process.Pid, in: in, out: bufio.NewScanner(out)}
	p.addr = p.line(t)
	return p
}

func (p *idleProcess) line(t *testing.T) string {
	if !p.out.Scan() {
		t.Fatalf("the server has ended: %v", p.out.Err())
	}
	return p.out.Text()
}

// resident returns the resident set after a garbage collection.
func (p *idleProcess) resident(t *testing.T) int {
	if _, err := io.WriteString(p.in, "\n"); err != nil {
		t.Fatal(err)
	}
	if got := p.line(t); !strings.Contains(got, "collected") {
		t.Fatal(got)
	}
	return p.rss(t)
}

func (p *idleProcess) rss(t *testing.T) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.pid))
	if err != nil {
		t.Fatal(err)
	}
	var size, resident int
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		t.Fatal(err)
	}
	return resident * os.Getpagesize()
}
