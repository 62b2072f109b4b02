package e2e

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// world is what stands around a node: DNS and a receiving server.
type world struct {
	t       testing.TB
	DNS     *mailtest.DNS
	Sink    *mailtest.Sink
	Domains []string
}

// newWorld starts a DNS server whose domains all have the sink as their mail exchanger.
func newWorld(t testing.TB, domains int, o mailtest.SinkOptions) *world {
	t.Helper()
	return newWorldAt(t, "127.0.0.1", domains, o)
}

// newWorldAt is newWorld at another address of this machine.
func newWorldAt(t testing.TB, ip string, domains int, o mailtest.SinkOptions) *world {
	t.Helper()
	o.Addr = net.JoinHostPort(ip, "0")
	w := &world{t: t}
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

// port is where the sink listens, and so where the node delivers to.
func (w *world) port() int { return portOf(w.t, w.Sink.Addr()) }

func portOf(t testing.TB, addr string) int {
	t.Helper()
	_, port, _ := strings.Cut(addr, ":")
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// settled waits until nothing that was acknowledged is missing, for at most limit, and returns the
// comparison.
func (w *world) settled(sent []mailtest.Sent, rules mailtest.Rules, limit time.Duration) *mailtest.Report {
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
