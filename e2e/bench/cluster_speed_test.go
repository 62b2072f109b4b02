package bench

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/bench/measure"
	"github.com/postroad/postroad/bench/peers"
	"github.com/postroad/postroad/e2e/kit"
)

// directCluster is nodes that form a cluster on loopback with nothing between them, for
// measurements.
func directCluster(t *testing.T, nodes int, extra string) (all []*kit.Node) {
	t.Helper()
	return kit.DirectClusterOf(t, "", nodes, extra, "")
}

// measureCluster has smtp-source load all nodes at once, so many connections and messages each.
// smtp-source ends at the first 451, which a node says when the machine stood still for so long
// that it lost its group: then the whole is measured again.
func measureCluster(
	t *testing.T, nodes []*kit.Node, sink *kit.SmtpSink, conns, messages int,
) (s speed, written float64) {
	t.Helper()
	for try := 1; ; try++ {
		s, written, err := loadCluster(t, nodes, sink, conns, messages)
		if err == nil {
			return s, written
		}
		if try == 3 {
			t.Fatal(err)
		}
		t.Logf("measured again: %v", err)
		for _, n := range nodes {
			kit.Eventually(t, time.Minute, func() bool {
				return n.Metric("postroad_queue_messages") == 0
			}, func() string { return n.CLI("queue", "list") })
		}
	}
}

func loadCluster(
	t *testing.T, nodes []*kit.Node, sink *kit.SmtpSink, conns, messages int,
) (s speed, written float64, err error) {
	t.Helper()
	figures := func() (cpu time.Duration, octets int64) {
		for _, n := range nodes {
			cpu += measure.CPU([]int{n.PID()})
			octets += measure.Written(n.PID())
		}
		return cpu, octets
	}
	total := messages * len(nodes)
	before, start := sink.Count.Load(), time.Now()
	cpu, octets := figures()
	var sources sync.WaitGroup
	errs := make([]error, len(nodes))
	for i, n := range nodes {
		sources.Go(func() {
			errs[i] = peers.SmtpSource(t.Context(), n.Relay, conns, messages, 4096)
		})
	}
	sources.Wait()
	if err := errors.Join(errs...); err != nil {
		return s, 0, err
	}
	kit.Eventually(t, 5*time.Minute, func() bool {
		return sink.Count.Load()-before >= int64(total)
	},
		func() string {
			return fmt.Sprintf("the sink has %d of %d", sink.Count.Load()-before,
				total)
		})
	took := time.Since(start)
	cpuAfter, octetsAfter := figures()
	return speed{float64(total) / took.Seconds(),
			float64((cpuAfter - cpu).Microseconds()) / float64(total)},
		float64(octetsAfter-octets) / float64(total) / 4096 / float64(len(nodes)), nil
}

// TestClusterSpeedAgainstPostfix measures clusters of three and five processes on this one machine,
// end to end, against Postfix alone in the same run.
func TestClusterSpeedAgainstPostfix(t *testing.T) {
	kit.Measures(t)
	kit.Need(t, peers.PostfixAvailable())
	const rounds, postfixN, ourN = 3, 6000, 20000
	sink := kit.StartSmtpSink(t)
	dir := kit.Scratch(t)
	logMachine(t, dir)
	pf := kit.StartPostfix(t, peers.PostfixOptions{Relayhost: "[127.0.0.1]:" + sink.Port})
	for _, size := range []int{3, 5} {
		t.Run(fmt.Sprintf("%d nodes", size), func(t *testing.T) {
			nodes := directCluster(t, size, kit.SmartHost("127.0.0.1:"+sink.Port))
			var theirs, ours []speed
			var written []float64
			for range rounds {
				theirs = append(theirs, measureRelay(t, relayUnderTest{"postfix", pf.Addr, pf.PIDs},
					sink, 20, postfixN, 4096))
				s, w := measureCluster(t, nodes, sink, 20, ourN)
				ours, written = append(ours, s), append(written, w)
			}
			slices.Sort(written)
			their, our, w := median(theirs), median(ours), written[len(written)/2]
			t.Logf("postfix alone %6.0f messages/s, %6.0f us CPU each %v", their.rate, their.cpu,
				theirs)
			t.Logf("%d nodes       %6.0f messages/s, %6.0f us CPU each, of all nodes together %v",
				size, our.rate, our.cpu, ours)
			t.Logf("%d nodes: %.1f times the rate, %.1f %% of the CPU per message; %.2f octets "+
				"written per accepted octet and member",
				size, our.rate/their.rate, 100*our.cpu/their.cpu, w)
			if size == 3 && (our.rate < 4*their.rate || our.cpu > 0.18*their.cpu || w > 2.5) {
				t.Errorf(
					"the bar is 4 times the rate at 18 %% of the CPU, and 2.5 octets written " +
						"per accepted octet and member")
			}
		})
	}
}

// TestAcceptanceLatency measures the time from the end of the data to the 250 at a fixed rate, half
// of what the systems take at most: one node, and three.
func TestAcceptanceLatency(t *testing.T) {
	kit.Measures(t)
	sink := kit.StartSmtpSink(t)
	const conns, count, probe = 20, 20_000, 20_000
	one := kit.NewNode(t, kit.NodeOptions{Extra: kit.SmartHost("127.0.0.1:" + sink.Port)})
	one.Start()
	for _, nodes := range [][]*kit.Node{{one},
		directCluster(t, 3, kit.SmartHost("127.0.0.1:"+sink.Port))} {
		full, _ := measureCluster(t, nodes, sink, conns, probe)
		for _, share := range []float64{0.5, 0.1} {
			took := paced(t, nodes, conns, count/len(nodes), share*full.rate/float64(len(nodes)))
			slices.Sort(took)
			at := func(q float64) time.Duration {
				return took[int(q*float64(len(took)-1))].Round(10 * time.Microsecond)
			}
			t.Logf("%d nodes at %.0f messages/s, %.0f %% of the most: p50 %v, p90 %v, p99 %v, "+
				"most %v (%d messages, open loop)",
				len(nodes), share*full.rate, 100*share, at(0.5), at(0.9), at(0.99), at(1),
				len(took))
		}
	}
}

// paced sends messages of 4 KiB at a fixed rate to each node and returns how long each 250 took,
// from when the message was due: what waits for its turn is not left out.
func paced(t *testing.T, nodes []*kit.Node, conns, count int, rate float64) (all []time.Duration) {
	t.Helper()
	var mu sync.Mutex
	var clients sync.WaitGroup
	errs := make(chan error, conns*len(nodes))
	start := time.Now().Add(100 * time.Millisecond)
	for _, n := range nodes {
		for c := range conns {
			clients.Go(func() {
				took, err := pacedClient(n.Relay, start, c, conns, count, rate)
				if err != nil {
					errs <- err
				}
				mu.Lock()
				defer mu.Unlock()
				all = append(all, took...)
			})
		}
	}
	clients.Wait()
	close(errs)
	for err := range errs {
		t.Fatal(err)
	}
	return all
}

// pacedClient sends every conns-th message of a schedule.
func pacedClient(
	addr string, start time.Time, first, conns, count int, rate float64,
) (took []time.Duration, err error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	in := bufio.NewReader(c)
	reply := func(code string) {
		for err == nil {
			var line string
			if line, err = in.ReadString('\n'); err == nil && !strings.HasPrefix(line, code) {
				err = errors.New(line)
			}
			if len(line) > 3 && line[3] == ' ' {
				return
			}
		}
	}
	say := func(s, code string) {
		if err == nil {
			_, err = c.Write([]byte(s))
			reply(code)
		}
	}
	reply("220")
	say("EHLO paced.example\r\n", "250")
	body := "Subject: paced\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 56) + ".\r\n"
	for i := first; i < count && err == nil; i += conns {
		due := start.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		<-time.After(time.Until(due))
		if _, err = c.Write(
			[]byte("MAIL FROM:<a@source.test>\r\nRCPT TO:<b@sink.test>\r\nDATA\r\n")); err != nil {
			break
		}
		reply("250")
		reply("250")
		reply("354")
		say(body, "250")
		took = append(took, time.Since(due))
	}
	return took, err
}
