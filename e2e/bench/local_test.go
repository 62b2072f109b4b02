package bench

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/postroad/postroad/bench/load"
	"github.com/postroad/postroad/bench/measure"
	"github.com/postroad/postroad/e2e/kit"
)

// TestLocalSpeed measures local delivery of 4 KiB messages against relaying by the same node, in
// alternation: from the first connect to the last message that is in its mailbox, or taken by
// smtp-sink.
func TestLocalSpeed(t *testing.T) {
	kit.Measures(t)
	sink := kit.StartSmtpSink(t)
	logMachine(t, kit.Scratch(t))
	n := kit.NewNode(t,
		kit.NodeOptions{Extra: "[[route]]\ndomain = \"sink.test\"\nsmart_host = \"127.0.0.1:" +
			sink.Port + "\"\n"})
	n.Start()
	boxes := n.ImportUsers(500)
	const messages, rounds = 40_000, 3
	loadUntil(n, t, 20, boxes, len(boxes), n.Delivered) // all mailboxes are there
	for _, conns := range []int{20, 200} {
		t.Run(fmt.Sprintf("%d connections", conns), func(t *testing.T) {
			var relay, local []speed
			for range rounds {
				relay = append(relay, loadUntil(n, t, conns, []string{"rcpt@sink.test"}, messages,
					sink.Count.Load))
				local = append(local, loadUntil(n, t, conns, boxes, messages, n.Delivered))
			}
			r, l := median(relay), median(local)
			t.Logf("relay %6.0f messages/s, %4.0f us CPU each %v", r.rate, r.cpu, relay)
			t.Logf("local %6.0f messages/s, %4.0f us CPU each %v", l.rate, l.cpu, local)
			t.Logf("%.2f of the relay's rate", l.rate/r.rate)
			if l.rate < 0.7*r.rate {
				t.Error("the bar is 0.7")
			}
		})
	}
}

// loadUntil sends messages of 4 KiB to some recipients in turn, and waits until count has grown by
// as many.
func loadUntil(
	n *kit.Node, t *testing.T, conns int, to []string, messages int, count func() int64,
) speed {
	t.Helper()
	pids := []int{n.PID()}
	before, cpu, start := count(), measure.CPU(pids), time.Now()
	o := load.Options{Addr: n.Relay, Connections: conns, Messages: int64(messages), Retries: 10}
	o.Envelope.To = to
	l, err := load.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	result, err := l.Wait(context.Background())
	if err != nil || result.Accepted != int64(messages) {
		t.Fatalf("%+v: %v", result, err)
	}
	kit.Eventually(t, 2*time.Minute, func() bool { return count()-before >= int64(messages) },
		func() string { return fmt.Sprintf("%d of %d\n%s", count()-before, messages, n.Log()) })
	took := time.Since(start)
	return speed{float64(messages) / took.Seconds(),
		float64((measure.CPU(pids) - cpu).Microseconds()) / float64(messages)}
}
