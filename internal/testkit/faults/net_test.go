package faults

import (
	"bufio"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// pair is two nodes on a network. Node 2 answers each line with itself.
type pair struct {
	t     *testing.T
	n     *Net
	front string
}

func newPair(t *testing.T) *pair {
	l, err := net.Listen("tcp", "127.0.0.12:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			go func() {
				defer c.Close()
				for lines := bufio.NewScanner(c); lines.Scan(); {
					c.Write([]byte(lines.Text() + "\n"))
				}
			}()
		}
	}()
	p := &pair{t: t, n: NewNet()}
	t.Cleanup(p.n.Close)
	free, err := mailtest.FreeAddrs("127.0.1.12", 2)
	if err != nil {
		t.Fatal(err)
	}
	p.front = free[0]
	if err := errors.Join(p.n.Join(1, hostOf(1), free[1], "127.0.0.11:1"),
		p.n.Join(2, hostOf(2), p.front, l.Addr().String())); err != nil {
		t.Fatal(err)
	}
	return p
}

// dial opens a connection from a node to node 2.
func (p *pair) dial(host netip.Addr) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: host.AsSlice()}}
	return d.DialContext(p.t.Context(), "tcp", p.front)
}

// echo sends a line and waits for it to come back.
func echo(c net.Conn, line string, limit time.Duration) error {
	c.SetDeadline(time.Now().Add(limit))
	if _, err := c.Write([]byte(line + "\n")); err != nil {
		return err
	}
	return hear(c, line, limit)
}

func hear(c net.Conn, line string, limit time.Duration) error {
	c.SetDeadline(time.Now().Add(limit))
	got, err := bufio.NewReaderSize(c, 16).ReadString('\n')
	if err == nil && got != line+"\n" {
		err = errors.New("got " + got)
	}
	return err
}

const (
	soon  = 10 * time.Second
	never = 200 * time.Millisecond
)

// A stall holds octets back in one direction only, and they come when it is over.
func TestNetStalls(t *testing.T) {
	p := newPair(t)
	c, err := p.dial(hostOf(1))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := echo(c, "one", soon); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []link{{1, 2}, {2, 1}} {
		p.n.Set(dir.from, dir.to, Stalled)
		if p.n.Reaches(dir.from, dir.to) || !p.n.Reaches(dir.to, dir.from) {
			t.Error("which way?")
		}
		if err := echo(c, "two", never); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("while %v is stalled: %v", dir, err)
		}
		p.n.Heal()
		if err := hear(c, "two", soon); err != nil {
			t.Errorf("after the stall of %v: %v", dir, err)
		}
	}
}

// A cut resets what is open and refuses what is new, for those that it parts and for nobody else.
func TestNetCuts(t *testing.T) {
	p := newPair(t)
	if err := p.n.Join(3, hostOf(3), "127.0.1.13:0", "127.0.0.13:1"); err != nil {
		t.Fatal(err)
	}
	c, err := p.dial(hostOf(1))
	if err != nil {
		t.Fatal(err)
	}
	third, err := p.dial(hostOf(3))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(echo(c, "one", soon), echo(third, "one", soon)); err != nil {
		t.Fatal(err)
	}
	p.n.Partition(Cut, []int{1}, []int{2})
	if err := echo(c, "two", soon); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("an open connection: %v", err)
	}
	if c, err := p.dial(hostOf(1)); err == nil {
		if err := echo(c, "three", soon); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a new connection: %v", err)
		}
	}
	if err := echo(third, "two", soon); err != nil {
		t.Errorf("another node: %v", err)
	}
	p.n.Heal()
	c, err = p.dial(hostOf(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := echo(c, "four", soon); err != nil {
		t.Errorf("after it: %v", err)
	}
}

// TestNetRefusesStrangers: a process that is no node is refused: its connections could not be cut.
func TestNetRefusesStrangers(t *testing.T) {
	p := newPair(t)
	c, err := p.dial(netip.MustParseAddr("127.0.0.1"))
	if err == nil {
		err = echo(c, "one", soon)
	}
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a stranger: %v", err)
	}
}

// TestAddresses: each node has addresses of its own, and is told by the one that it dials from.
func TestAddresses(t *testing.T) {
	seen := map[string]bool{}
	for k := 1; k <= maxNodes; k++ {
		host, front := hostOf(k), frontOf(k)
		if numberOf(host) != k || numberOf(front) != 0 || seen[host.String()] ||
			seen[front.String()] {
			t.Fatalf("node %d: %v (of node %d), %v (of node %d)", k, host, numberOf(host), front,
				numberOf(front))
		}
		seen[host.String()], seen[front.String()] = true, true
	}
	for _, none := range []string{"127.0.0.1", "127.0.1.1", "10.0.0.11", "::1", "127.0.0.211"} {
		if k := numberOf(netip.MustParseAddr(none)); k != 0 {
			t.Errorf("%s is of node %d", none, k)
		}
	}
}
