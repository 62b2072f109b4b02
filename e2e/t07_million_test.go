package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad/postroad/bench/measure"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

const mebibyte = 1 << 20

// deadPort is a destination that is down: it counts the connects and closes each before a greeting.
type deadPort struct {
	net.Listener
	connects atomic.Int64
}

func newDeadPort(t testing.TB) *deadPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &deadPort{Listener: l}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			d.connects.Add(1)
			c.Close()
		}
	}()
	return d
}

// TestMillionQueuedForADeadDestination queues messages of 4 KiB while their destination is down,
// restarts, lets the destination come up and drains. POSTROAD_LONG=1: a million; else fifty
// thousand, for which the bounds of memory hold all the more.
func TestMillionQueuedForADeadDestination(t *testing.T) {
	total, slice := 50_000, 10_000
	if long() {
		total, slice = 1_000_000, 100_000
	}
	dead := newDeadPort(t)
	port := portOf(t, dead.Addr().String())
	n := newNode(t, nodeOptions{Extra: smartHost(fmt.Sprintf("127.0.0.1:%d", port)) + "[shaping.default]\nconnections = 20\n"})
	n.start()

	// What the node does straight through, for the drain to be held against.
	straight := straightThrough(t, slice)
	t.Logf("straight through: %.0f messages/s", straight)

	gen := &mailtest.Generator{Seed: 7, Run: "million", Domains: []string{"down.example"}, Size: 4096}
	accepted := 0
	send := func(count int) float64 {
		report := sendFixed(t, n.Relay, gen, accepted, count, 50)
		accepted += count
		return float64(count) / report.Elapsed.Seconds()
	}
	first := send(slice)
	for accepted < total-slice {
		send(min(slice, total-slice-accepted))
	}
	last := send(slice)
	rss := measure.Status(n.PID(), "VmHWM")
	t.Logf("accepting: first %d at %.0f/s, last %d at %.0f/s (%.2f); peak RSS %d MiB; %d connects to the dead destination",
		slice, first, slice, last, last/first, rss/mebibyte, dead.connects.Load())
	if rss > 700*mebibyte {
		t.Errorf("peak RSS is %d MiB, the bound is 700", rss/mebibyte)
	}
	if c := dead.connects.Load(); c >= 100 {
		t.Errorf("%d connects to the dead destination, the bound is 100", c)
	}
	if long() && last < 0.7*first {
		t.Errorf("accepting fell to %.2f of its rate, the bound is 0.7", last/first)
	}
	if got := int(n.metric("postroad_queue_messages")); got != total {
		t.Errorf("%d messages in the queue, want %d", got, total)
	}

	n.stop()
	start := time.Now()
	n.start()
	ready := time.Since(start)
	t.Logf("restart to ready: %.1f s", ready.Seconds())
	if ready > 30*time.Second {
		t.Errorf("restart to ready took %v, the bound is 30 s", ready)
	}

	// The destination comes up, on the same port.
	dead.Close()
	sink, err := mailtest.StartSink(mailtest.SinkOptions{Addr: fmt.Sprintf("127.0.0.1:%d", port), Count: true})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	n.cli("queue", "flush")
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	if err := sink.Wait(ctx, 1); err != nil {
		t.Fatal(err)
	}
	start = time.Now()
	if err := sink.Wait(ctx, total); err != nil {
		t.Fatalf("%d of %d drained: %v\n%s", sink.Accepted(), total, err, n.log())
	}
	drain := float64(total) / time.Since(start).Seconds()
	rss = measure.Status(n.PID(), "VmHWM")
	t.Logf("drained at %.0f messages/s, %.2f of straight through; peak RSS since the restart %d MiB", drain, drain/straight, rss/mebibyte)
	eventually(t, time.Minute, func() bool { return n.metric("postroad_queue_messages") == 0 }, func() string { return n.cli("queue", "list") })
	if sink.Accepted() != total {
		t.Errorf("%d messages arrived, %d were accepted", sink.Accepted(), total)
	}
	if rss > 700*mebibyte {
		t.Errorf("peak RSS since the restart is %d MiB, the bound is 700", rss/mebibyte)
	}
	if long() && drain < 0.5*straight {
		t.Errorf("drained at %.2f of the straight-through rate, the bound is 0.5", drain/straight)
	}
}

// straightThrough is the rate of a fresh node with everything up.
func straightThrough(t *testing.T, count int) float64 {
	t.Helper()
	sink, err := mailtest.StartSink(mailtest.SinkOptions{Count: true})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	n := newNode(t, nodeOptions{Extra: smartHost(sink.Addr()) + "[shaping.default]\nconnections = 20\n"})
	n.start()
	defer n.kill()
	gen := &mailtest.Generator{Seed: 8, Run: "straight", Domains: []string{"up.example"}, Size: 4096}
	start := time.Now()
	sendFixed(t, n.Relay, gen, 0, count, 50)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := sink.Wait(ctx, count); err != nil {
		t.Fatal(err)
	}
	return float64(count) / time.Since(start).Seconds()
}

// sendFixed sends messages first to first+count-1 over some connections; each must be accepted.
func sendFixed(t testing.TB, addr string, gen *mailtest.Generator, first, count, conns int) *mailtest.SendReport {
	t.Helper()
	return send(t, mailtest.SendOptions{Addr: addr, Connections: conns, First: first, Count: count, Message: gen.Message, Pipelining: true, Forget: true})
}

// send sends messages, all of which must be accepted.
func send(t testing.TB, o mailtest.SendOptions) *mailtest.SendReport {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	report, err := mailtest.Send(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if report.Messages != o.Count {
		t.Fatalf("not all were accepted: %v", report)
	}
	return report
}

// TestBytesWritten measures write_bytes of /proc/PID/io per accepted octet, for bodies that do not
// compress: straight through, and into a backlog. POSTROAD_LONG=1: 1 GiB straight through, 5 GiB of
// backlog.
func TestBytesWritten(t *testing.T) {
	fast, backlog := int64(64*mebibyte), int64(128*mebibyte)
	if long() {
		fast, backlog = 1024*mebibyte, 5*1024*mebibyte
	}
	for _, size := range []int{4096, 65536} {
		for _, cell := range []struct {
			name  string
			bytes int64
			up    bool
			bound float64
		}{{"straight through", fast, true, 2.5}, {"backlog", backlog, false, 4}} {
			t.Run(fmt.Sprintf("%d KiB %s", size>>10, cell.name), func(t *testing.T) {
				written := writtenPerOctet(t, size, int(cell.bytes/int64(size)), cell.up)
				t.Logf("%.2f octets written per accepted octet", written)
				if written > cell.bound {
					t.Errorf("the bound is %.1f", cell.bound)
				}
			})
		}
	}
}

func writtenPerOctet(t *testing.T, size, count int, up bool) float64 {
	sink, err := mailtest.StartSink(mailtest.SinkOptions{Count: true})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	to := sink.Addr()
	if !up {
		to = newDeadPort(t).Addr().String()
	}
	n := newNode(t, nodeOptions{Extra: smartHost(to)})
	n.start()
	defer func() { n.kill(); os.RemoveAll(n.Dir) }()
	// The body's octets are random printable ones: what compresses of them is a quarter, and
	// nothing is compressed here.
	gen := &mailtest.Generator{Seed: uint64(size), Run: "written", Domains: []string{"x.example"}, Size: size}
	before := measure.Written(n.PID())
	sendFixed(t, n.Relay, gen, 0, count, 20)
	if up {
		eventually(t, time.Minute, func() bool { return sink.Accepted() >= count }, func() string { return n.log() })
	}
	// What the kernel has not been told yet is small: the log is synced, the state is flushed at
	// most once more.
	return float64(measure.Written(n.PID())-before) / float64(int64(size)*int64(count))
}
