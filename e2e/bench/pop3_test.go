package bench

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/bench/measure"
	"github.com/postroad/postroad/bench/peers"
	"github.com/postroad/postroad/e2e/kit"
)

// TestPOP3Idle holds connections open: that have said CAPA, in clear and inside TLS, and that have
// logged in, each to a mailbox of its own. What each of 5,000 costs the node in memory: less than
// 12 KiB.
func TestPOP3Idle(t *testing.T) {
	kit.Measures(t)
	const conns, bound = 5000, 12 << 10
	kit.RaiseFiles(t, conns+2000)
	capa := func(secure bool) func(*kit.PopNode, int) *kit.PopClient {
		return func(n *kit.PopNode, _ int) *kit.PopClient {
			addr := n.POP3
			if secure {
				addr = n.POP3S
			}
			c := kit.DialPOP3(t, addr, secure)
			c.Listing("CAPA")
			return c
		}
	}
	for _, cell := range []struct {
		name   string
		before func(*kit.PopNode)
		open   func(n *kit.PopNode, i int) *kit.PopClient
	}{
		{"clear", nil, capa(false)},
		{"TLS", nil, capa(true)},
		{"logged in", func(n *kit.PopNode) {
			n.ImportUsers(conns)
			kit.Eventually(t, time.Minute, func() bool {
				return strings.HasPrefix(kit.TryLogin(t, n.POP3, kit.UserNumber(0)), "+OK")
			}, func() string { return "nobody can log in" })
		}, func(n *kit.PopNode, i int) *kit.PopClient {
			c := kit.LoginPOP3(t, n.POP3, kit.UserNumber(i), kit.PopPassword)
			c.Listing("UIDL")
			return c
		}},
	} {
		t.Run(cell.name, func(t *testing.T) {
			n := kit.NewPopNode(t, kit.NodeOptions{})
			n.Start()
			openAll := func(each func(*kit.PopClient)) {
				var wg sync.WaitGroup
				for part := range 8 {
					wg.Go(func() {
						for i := part; i < conns; i += 8 {
							each(cell.open(n, i))
						}
					})
				}
				wg.Wait()
			}
			// Things made once, for the node and for each mailbox, are not a connection's cost.
			if cell.before != nil {
				cell.before(n)
				openAll(func(c *kit.PopClient) { c.Say("QUIT"); c.Conn.Close() })
				n.Stop()
				n.Start()
			}
			cell.open(n, 0).Conn.Close()
			kit.Eventually(t, 20*time.Second, func() bool {
				return n.Metric("postroad_pop3_connections_open") == 0
			}, func() string { return "the first connections stay" })
			before := measure.Status(n.PID(), "VmRSS")
			openAll(func(*kit.PopClient) {})
			each := (measure.Status(n.PID(), "VmRSS") - before) / int64(conns)
			t.Logf("%d idle connections: %.1f KiB each", conns, float64(each)/1024)
			if each > bound {
				t.Errorf("the bound is %d KiB", bound>>10)
			}
			if open := n.Metric("postroad_pop3_connections_open"); int(open) != conns {
				t.Errorf("%v connections are open, not %d", open, conns)
			}
		})
	}
}

// TestPOP3SlowReader has clients ask for large messages and not read them. Then some read on, and
// get all of it. POSTROAD_LONG=1: 100 of them cost the node less than 256 KiB of memory each.
func TestPOP3SlowReader(t *testing.T) {
	const size = 8 << 20
	readers, bound := 4, int64(256<<10)
	if kit.Long() {
		readers = 100 // few do not outweigh the buffers that all of them share
	}
	n := kit.NewPopNode(t, kit.NodeOptions{})
	n.Start()
	dir := t.TempDir()
	kit.WriteMaildir(t, dir, kit.Uniform(1, size))
	for i := range readers {
		n.AddMailbox(kit.UserNumber(i), dir)
	}
	n.Stop() // what the imports took is not a reader's
	n.Start()
	whole := kit.LoginPOP3(t, n.POP3, kit.UserNumber(0), kit.PopPassword)
	whole.Listing("RETR 1")
	whole.Say("QUIT")
	clients := make([]*kit.PopClient, readers)
	for i := range clients {
		clients[i] = kit.LoginPOP3(t, n.POP3, kit.UserNumber(i), kit.PopPassword)
		clients[i].Conn.(*net.TCPConn).SetReadBuffer(64 << 10)
	}
	before, peak := measure.Status(n.PID(), "VmRSS"), int64(0)
	for _, c := range clients {
		c.Send("RETR 1")
	}
	// The sockets' buffers fill first; when they are full nothing grows any more. It may shrink for
	// long: the runtime gives back what it does not need.
	still, last := 0, int64(-1)
	kit.Eventually(t, time.Minute, func() bool {
		rss := measure.Status(n.PID(), "VmRSS")
		peak = max(peak, rss)
		if still++; rss > last {
			still = 0
		}
		last = rss
		return still == 20
	}, func() string { return "the node's memory does not come to rest" })
	if sent := n.Metric("postroad_pop3_messages_retrieved_total"); sent != 1 {
		t.Fatalf("%v messages have gone out: the readers did not hold them up", sent-1)
	}
	each := (peak - before) / int64(readers)
	t.Logf("%d readers that do not read %d MiB: %.1f KiB each", readers, size>>20,
		float64(each)/1024)
	if kit.Long() && each > bound {
		t.Errorf("the bound is %d KiB", bound>>10)
	}
	for _, c := range clients[:2] {
		if _, octets := c.Lines(); octets != size {
			t.Errorf("%d octets came, not %d", octets, size)
		}
		c.Say("QUIT")
	}
}

// TestPOP3Listing asks for STAT, LIST and UIDL of a large maildrop, from the password to the last
// line: of 100,000 messages in less than 50 ms.
func TestPOP3Listing(t *testing.T) {
	kit.Measures(t)
	const count, bound = 100_000, 50 * time.Millisecond
	n := kit.NewPopNode(t, kit.NodeOptions{})
	n.Start()
	file := filepath.Join(t.TempDir(), "mbox")
	var b strings.Builder
	for i := range count {
		fmt.Fprintf(&b, "From a@client.example Thu Jan  1 00:00:00 2026\nSubject: %d\n\ntext\n\n",
			i)
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	n.AddMailbox(kit.Alice, file)
	var best time.Duration
	for range 5 {
		c := kit.DialPOP3(t, n.POP3, false)
		c.Say("USER " + kit.Alice)
		start := time.Now()
		c.Say("PASS " + kit.PopPassword) // the first log-in costs a hash
		login := time.Since(start)
		start = time.Now()
		if got := c.Say("STAT"); !strings.HasPrefix(got, fmt.Sprintf("+OK %d ", count)) {
			t.Fatal(got)
		}
		if got, _ := c.Listing("LIST"); got != count {
			t.Fatalf("%d lines", got)
		}
		took := time.Since(start)
		start = time.Now()
		c.Listing("UIDL")
		t.Logf("%d messages: log-in %v, STAT and LIST %v, UIDL %v", count,
			login.Round(time.Microsecond), took.Round(time.Microsecond),
			time.Since(start).Round(time.Microsecond))
		c.Say("QUIT")
		if all := login + took; best == 0 || all < best {
			best = all
		}
	}
	if best > bound {
		t.Errorf("log-in, STAT and LIST took %v at best, the bar is %v", best, bound)
	}
}

// TestPOP3Speed downloads a mailbox of messages of 4 KiB from this program and from Dovecot, in
// turn, with its Maildir and its own format: as most clients do, one RETR after the other, and
// pipelined. It is to be at least as fast.
func TestPOP3Speed(t *testing.T) {
	kit.Measures(t)
	kit.Need(t, peers.DovecotAvailable())
	const count, rounds = 10_000, 7
	messages := kit.Uniform(count, 4096)
	n := kit.NewPopNode(t, kit.NodeOptions{})
	n.Start()
	dir := t.TempDir()
	kit.WriteMaildir(t, dir, messages)
	n.AddMailbox(kit.Alice, dir)
	maildir, mdbox := startPOP3Dovecot(t, "maildir", messages),
		startPOP3Dovecot(t, "mdbox", messages)
	logMachine(t, kit.Scratch(t))
	systems := []struct {
		name, addr, password string
		pids                 func() []int
	}{
		{"dovecot, Maildir", maildir.POP3, "secret", maildir.PIDs},
		{"dovecot, mdbox", mdbox.POP3, "secret", mdbox.PIDs},
		{"postroad", n.POP3, kit.PopPassword, func() []int { return measure.Tree(n.PID()) }},
	}
	for _, window := range []int{1, 50} {
		t.Run(fmt.Sprintf("window %d", window), func(t *testing.T) {
			var got [3][]speed
			for round := range rounds + 1 {
				for i, s := range systems {
					c := kit.LoginPOP3(t, s.addr, kit.Alice, s.password)
					pids := s.pids()
					cpu, start := measure.CPU(pids), time.Now()
					if octets := c.Download(count, window); octets != int64(count)*4096 {
						t.Fatalf("%s: %d octets came", s.name, octets)
					}
					took := time.Since(start)
					cpu = measure.CPU(pids) - cpu
					c.Say("QUIT")
					if round > 0 { // the first finds nothing in memory
						got[i] = append(got[i],
							speed{float64(count) / took.Seconds(),
								float64(cpu.Microseconds()) / float64(count)})
					}
				}
			}
			for i, s := range systems {
				t.Logf("%-16s %v, of %v", s.name, median(got[i]), got[i])
			}
			our := median(got[2]).rate
			t.Logf("%.2f times as fast as with Maildir, %.2f times as fast as with mdbox",
				our/median(got[0]).rate, our/median(got[1]).rate)
			if our < median(got[0]).rate {
				t.Error("the bar is as fast as Dovecot with Maildir")
			}
		})
	}
}

type popDovecot struct {
	*peers.Instance
	POP3 string
}

// startPOP3Dovecot starts a Dovecot whose user has these messages, in one of its formats, on the
// file system that the node has.
func startPOP3Dovecot(t *testing.T, format string, messages [][]byte) *popDovecot {
	t.Helper()
	addr := kit.FreeAddr(t)
	in := kit.StartDovecot(t,
		peers.DovecotOptions{POP3: addr,
			Main: map[string]string{"mail_location": format + ":~/mail"}})
	from := filepath.Join(in.Dir, "mail", "from")
	kit.WriteMaildir(t, from, messages)
	kit.RunClient(t, exec.Command("chown", "-R", "mail:mail", from))
	kit.RunClient(t, exec.Command("doveadm", "-c", filepath.Join(in.Dir, "dovecot.conf"), "import",
		"-u", kit.Alice, "maildir:"+from, "", "all"))
	return &popDovecot{in, addr}
}
