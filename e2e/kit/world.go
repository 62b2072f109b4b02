package kit

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// World is what stands around a node: DNS and a receiving server.
type World struct {
	t       testing.TB
	DNS     *mailtest.DNS
	Sink    *mailtest.Sink
	Domains []string
}

// NewWorld starts a DNS server whose domains all have the sink as their mail exchanger.
func NewWorld(t testing.TB, domains int, o mailtest.SinkOptions) *World {
	t.Helper()
	return NewWorldAt(t, "127.0.0.1", domains, o)
}

// NewWorldAt is NewWorld at another address of this machine.
func NewWorldAt(t testing.TB, ip string, domains int, o mailtest.SinkOptions) *World {
	t.Helper()
	o.Addr = net.JoinHostPort(ip, "0")
	w := &World{t: t}
	var err error
	if w.DNS, err = mailtest.StartDNS(o.Addr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.DNS.Close() })
	if w.Sink, err = mailtest.StartSink(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Sink.Close() })
	for i := range domains {
		d := fmt.Sprintf("d%d.example", i)
		if err := w.DNS.AddMX(d, fmt.Sprintf("mx.d%d.example", i), ip); err != nil {
			t.Fatal(err)
		}
		w.Domains = append(w.Domains, d)
	}
	return w
}

// Port is where the sink listens, and so where the node delivers to.
func (w *World) Port() int { return PortOf(w.t, w.Sink.Addr()) }

// Settled waits until nothing that was acknowledged is missing, for at most limit, and returns the
// comparison.
func (w *World) Settled(
	sent []mailtest.Sent, rules mailtest.Rules, limit time.Duration,
) *mailtest.Report {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for seen := -1; ; {
		if n := w.Sink.Accepted(); n != seen {
			seen = n
			if r := mailtest.Compare(sent, w.Sink.Deliveries(), rules); r.Lost.N == 0 {
				return r
			}
		}
		select {
		case <-ctx.Done():
			return mailtest.Compare(sent, w.Sink.Deliveries(), rules)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// DeadPort is a destination that is down: it counts the connects and closes each before a greeting.
type DeadPort struct {
	net.Listener
	Connects atomic.Int64
}

// NewDeadPort opens such a port until the test ends.
func NewDeadPort(t testing.TB) *DeadPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &DeadPort{Listener: l}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			d.Connects.Add(1)
			c.Close()
		}
	}()
	return d
}
