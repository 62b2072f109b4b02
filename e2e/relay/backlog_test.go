package relay

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/postroad/postroad/bench/measure"
	"github.com/postroad/postroad/e2e/kit"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// TestMillionQueuedForADeadDestination queues messages of 4 KiB while their destination is down,
// restarts, lets the destination come up and drains: 4,000 of them. POSTROAD_LONG=1: a million,
// within bounds of time and memory.
func TestMillionQueuedForADeadDestination(t *testing.T) {
	total, slice := 4000, 2000
	if kit.Long() {
		total, slice = 1_000_000, 100_000
	}
	dead := kit.NewDeadPort(t)
	port := kit.PortOf(t, dead.Addr().String())
	n := kit.NewNode(t, kit.NodeOptions{Extra: kit.SmartHost(fmt.Sprintf("127.0.0.1:%d", port)) +
		"[shaping.default]\nconnections = 20\n"})
	n.Start()

	straight := 0.0 // what the node does without a backlog, for the drain to be held against
	if kit.Long() {
		straight = straightThrough(t, slice)
		t.Logf("straight through: %.0f messages/s", straight)
	}

	gen := &mailtest.Generator{Seed: 7, Run: "million", Domains: []string{"down.example"},
		Size: 4096}
	accepted := 0
	send := func(count int) float64 {
		report := kit.SendFixed(t, n.Relay, gen, accepted, count, 50)
		accepted += count
		return float64(count) / report.Elapsed.Seconds()
	}
	first := send(slice)
	for accepted < total-slice {
		send(min(slice, total-slice-accepted))
	}
	last := send(slice)
	rss := measure.Status(n.PID(), "VmHWM")
	t.Logf("accepting: first %d at %.0f/s, last %d at %.0f/s (%.2f); peak RSS %d MiB; %d "+
		"connects to the dead destination",
		slice, first, slice, last, last/first, rss/kit.Mebibyte, dead.Connects.Load())
	if kit.Long() && rss > 700*kit.Mebibyte {
		t.Errorf("peak RSS is %d MiB, the bound is 700", rss/kit.Mebibyte)
	}
	if c := dead.Connects.Load(); c >= 100 {
		t.Errorf("%d connects to the dead destination, the bound is 100", c)
	}
	if kit.Long() && last < 0.7*first {
		t.Errorf("accepting fell to %.2f of its rate, the bound is 0.7", last/first)
	}
	if got := int(n.Metric("postroad_queue_messages")); got != total {
		t.Errorf("%d messages in the queue, want %d", got, total)
	}

	n.Stop()
	start := time.Now()
	n.Start()
	ready := time.Since(start)
	t.Logf("restart to ready: %.1f s", ready.Seconds())
	if kit.Long() && ready > 30*time.Second {
		t.Errorf("restart to ready took %v, the bound is 30 s", ready)
	}

	// The destination comes up, on the same port.
	dead.Close()
	sink, err := mailtest.StartSink(mailtest.SinkOptions{Addr: fmt.Sprintf("127.0.0.1:%d", port),
		Count: true})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	n.CLI("queue", "flush")
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	if err := sink.Wait(ctx, 1); err != nil {
		t.Fatal(err)
	}
	start = time.Now()
	if err := sink.Wait(ctx, total); err != nil {
		t.Fatalf("%d of %d drained: %v\n%s", sink.Accepted(), total, err, n.Log())
	}
	drain := float64(total) / time.Since(start).Seconds()
	rss = measure.Status(n.PID(), "VmHWM")
	t.Logf("drained at %.0f messages/s; peak RSS since the restart %d MiB", drain, rss/kit.Mebibyte)
	kit.Eventually(t, time.Minute, func() bool { return n.Metric("postroad_queue_messages") == 0 },
		func() string { return n.CLI("queue", "list") })
	if sink.Accepted() != total {
		t.Errorf("%d messages arrived, %d were accepted", sink.Accepted(), total)
	}
	if kit.Long() && rss > 700*kit.Mebibyte {
		t.Errorf("peak RSS since the restart is %d MiB, the bound is 700", rss/kit.Mebibyte)
	}
	if kit.Long() && drain < 0.5*straight {
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
	n := kit.NewNode(t,
		kit.NodeOptions{Extra: kit.SmartHost(sink.Addr()) +
			"[shaping.default]\nconnections = 20\n"})
	n.Start()
	defer n.Kill()
	gen := &mailtest.Generator{Seed: 8, Run: "straight", Domains: []string{"up.example"},
		Size: 4096}
	start := time.Now()
	kit.SendFixed(t, n.Relay, gen, 0, count, 50)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := sink.Wait(ctx, count); err != nil {
		t.Fatal(err)
	}
	return float64(count) / time.Since(start).Seconds()
}
