package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/postroad/postroad/bench/measure"
	"github.com/postroad/postroad/bench/peers"
	"github.com/postroad/postroad/e2e/kit"
)

// relayUnderTest is a mail server between smtp-source and smtp-sink.
type relayUnderTest struct {
	name string
	addr string
	pids func() []int
}

// relayCase is one load, and what Postroad is to reach with it against Postfix in the same run.
type relayCase struct {
	size, conns    int
	postfixN, ourN int // messages of one round
	// at least so many times its rate, at most this part of its CPU per message; 0: no bar
	rate, cpu float64
}

var relayCases = []relayCase{
	{size: 4 << 10, conns: 20, postfixN: 6000, ourN: 60000, rate: 12, cpu: 0.055},
	{size: 4 << 10, conns: 200, postfixN: 6000, ourN: 60000, rate: 12, cpu: 0.055},
	{size: 64 << 10, conns: 20, postfixN: 4000, ourN: 12000, rate: 4, cpu: 1. / 6},
	{size: 1 << 20, conns: 20, postfixN: 600, ourN: 1500, cpu: 1. / 3},
}

// TestSpeedAgainstPostfix measures end to end, from the first connect of smtp-source to the last
// message counted by smtp-sink, both from Postfix's package, with fsync on in both relays and their
// data on the same file system, in alternation.
func TestSpeedAgainstPostfix(t *testing.T) {
	kit.Measures(t)
	kit.Need(t, peers.PostfixAvailable())
	const rounds = 3
	sink := kit.StartSmtpSink(t)
	dir := kit.Scratch(t)
	logMachine(t, dir)

	pf := kit.StartPostfix(t, peers.PostfixOptions{Relayhost: "[127.0.0.1]:" + sink.Port})
	n := kit.NewNode(t, kit.NodeOptions{Extra: kit.SmartHost("127.0.0.1:" + sink.Port)})
	n.Start()
	systems := []relayUnderTest{
		{"postfix", pf.Addr, pf.PIDs},
		{"postroad", n.Relay, func() []int { return []int{n.PID()} }},
	}
	for _, c := range relayCases {
		t.Run(fmt.Sprintf("%d octets, %d connections", c.size, c.conns),
			func(t *testing.T) { c.compare(t, systems, sink, rounds) })
	}
	countFsyncs(t, sink, 300, 3000)
}

// compare has both systems, Postfix first, relay in turn.
func (c relayCase) compare(t *testing.T, systems []relayUnderTest, sink *kit.SmtpSink, rounds int) {
	messages := []int{c.postfixN, c.ourN}
	var got [2][]speed
	for range rounds {
		for i, sys := range systems {
			got[i] = append(got[i], measureRelay(t, sys, sink, c.conns, messages[i], c.size))
		}
	}
	pf, our := median(got[0]), median(got[1])
	t.Logf("postfix  %6.0f messages/s, %6.0f us CPU each %v", pf.rate, pf.cpu, got[0])
	t.Logf("postroad %6.0f messages/s, %6.0f us CPU each %v", our.rate, our.cpu, got[1])
	t.Logf("%.1f times the rate, %.1f %% of the CPU per message", our.rate/pf.rate,
		100*our.cpu/pf.cpu)
	if our.rate < c.rate*pf.rate || our.cpu > c.cpu*pf.cpu {
		t.Errorf("the bar is %v times the rate at %.1f %% of the CPU", c.rate, 100*c.cpu)
	}
}

// countFsyncs has both relay again, by instances that were started under strace, which stops them
// at these calls only.
func countFsyncs(t *testing.T, sink *kit.SmtpSink, postfixN, ourN int) {
	kit.Need(t, measure.TraceAvailable())
	perMessage := func(trace *measure.Trace, messages int) float64 {
		n, err := trace.Count()
		if err != nil {
			t.Fatal(err)
		}
		return float64(n) / float64(messages)
	}
	trace := measure.NewTrace(filepath.Join(t.TempDir(), "postfix"))
	pf := kit.StartPostfix(t, peers.PostfixOptions{Relayhost: "[127.0.0.1]:" + sink.Port,
		Under: trace.Under()})
	measureRelay(t, relayUnderTest{"postfix", pf.Addr, pf.PIDs}, sink, 20, postfixN, 4096)
	t.Logf("postfix: %.2f fsyncs per message (20 connections)", perMessage(trace, postfixN))
	trace = measure.NewTrace(filepath.Join(t.TempDir(), "postroad"))
	n := kit.NewNode(t, kit.NodeOptions{Extra: kit.SmartHost("127.0.0.1:" + sink.Port),
		Under: trace.Under()})
	n.Start()
	measureRelay(t,
		relayUnderTest{"postroad", n.Relay, func() []int { return measure.Tree(n.PID()) }}, sink,
		20, ourN, 4096)
	t.Logf("postroad: %.3f fsyncs per message (20 connections)", perMessage(trace, ourN))
}

func measureRelay(
	t *testing.T, sys relayUnderTest, sink *kit.SmtpSink, conns, messages, size int,
) speed {
	t.Helper()
	pids := sys.pids()
	before, cpu, start := sink.Count.Load(), measure.CPU(pids), time.Now()
	smtpSource(t, sys.addr, conns, messages, size)
	kit.Eventually(t, 5*time.Minute, func() bool {
		return sink.Count.Load()-before >= int64(messages)
	},
		func() string {
			return fmt.Sprintf("%s: sink has %d of %d", sys.name, sink.Count.Load()-before,
				messages)
		})
	took := time.Since(start)
	// A process of Postfix that ended meanwhile is in its parent's account; one that began is in
	// the new list.
	cpu = measure.CPU(sys.pids()) - cpu
	return speed{float64(messages) / took.Seconds(),
		float64(cpu.Microseconds()) / float64(messages)}
}

func smtpSource(t testing.TB, addr string, conns, messages, size int) {
	t.Helper()
	if err := peers.SmtpSource(context.Background(), addr, conns, messages, size); err != nil {
		t.Fatal(err)
	}
}
