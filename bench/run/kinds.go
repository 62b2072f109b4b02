package run

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/postroad/postroad/bench/load"
	"github.com/postroad/postroad/bench/peers"
	"github.com/postroad/postroad/bench/record"
	"github.com/postroad/postroad/bench/report"
	"github.com/postroad/postroad/bench/sink"
	"github.com/postroad/postroad/internal/clock"
)

// drain measures mail that comes while its destination is down, and then goes.
func (st *stage) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*st.duration()+st.patience())
	defer cancel()
	if err := st.closeSink(); err != nil {
		return err
	}
	syscall.Sync()
	a := openAccount(ctx, st.group)
	defer a.cancel()
	s, err := st.send(ctx, 0, st.duration(), nil)
	if err != nil {
		return err
	}
	if s.accepted == 0 {
		return fmt.Errorf("it accepted nothing while the destination was down (%s)", s.why)
	}
	clock.Pause(ctx, settle)
	a.close()
	st.result.Messages += s.accepted
	st.result.Add("accept_rate", float64(s.accepted)/s.seconds)
	st.result.Add("accept_cpu", float64(a.cpu.Microseconds())/float64(s.accepted))
	st.result.Add("accept_p50", s.p50)
	st.result.Add("accept_p99", s.p99)

	if err := st.openSink(); err != nil {
		return err
	}
	b := openAccount(ctx, st.group)
	defer b.cancel()
	flushed := time.Now()
	if err := st.drained(ctx, s, st.sink); err != nil {
		return err
	}
	clock.Pause(ctx, settle)
	b.close()
	at := timed(s.log, st.sink.Records())
	st.result.Add("drain_rate", float64(s.accepted)/at.last.Sub(flushed).Seconds())
	st.result.Add("drain_cpu", float64(b.cpu.Microseconds())/float64(s.accepted))
	st.result.Add("memory", float64(max(a.peak, b.peak)))
	if st.name != "exim" {
		st.result.Add("written",
			float64(a.written+b.written)/float64(s.accepted)/float64(st.size)/
				float64(st.system.members()))
	}
	st.result.Timeline = timeline(st.sink.Records(), flushed)
	st.judge(s, record.Rules{})
	st.sink.Reset()
	return nil
}

// flushAgain is how often a flush is asked for: some servers put off again what met the
// destination's queue full.
const flushAgain = 5 * time.Second

// drained flushes until all has arrived at to.
func (st *stage) drained(ctx context.Context, s *sending, to *sink.Server) error {
	if err := st.system.flush(ctx); err != nil {
		return err
	}
	_, err := st.urging(ctx, to, flushAgain, func() error { return to.Wait(ctx, int(s.accepted)) })
	if err != nil {
		return fmt.Errorf("%d of %d messages arrived in time: %w", to.Counts().Messages, s.accepted,
			err)
	}
	return nil
}

// kill measures mail through a cluster of which one node is killed half-way; what it had is for the
// others to deliver.
func (st *stage) kill(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*st.duration()+st.patience())
	defer cancel()
	victim := st.system.(*nodes).all[0]
	killed := make(chan time.Time, 1)
	halfway := time.AfterFunc(st.duration()/2, func() {
		victim.kill()
		killed <- time.Now()
	})
	defer halfway.Stop()
	a := openAccount(ctx, st.group)
	defer a.cancel()
	var orphans ids // what the victim had accepted
	s, err := st.send(ctx, 0, st.duration(), func(node int, o *load.Options) {
		o.Timeout, o.Reconnects = 20*time.Second, 3
		if node == 0 {
			note := o.OnSent
			o.OnSent = func(m *load.Sent) { note(m); orphans.add(m) }
		}
	})
	if err != nil {
		return err
	}
	at := <-killed
	rules := record.Rules{Kills: []time.Time{at}, Window: 10 * time.Second}
	for record.Check(s.log, st.sink.Records(), rules).Lost.N > 0 &&
		clock.Pause(ctx, 200*time.Millisecond) {
	}
	clock.Pause(ctx, settle)
	a.close()
	records := st.sink.Records()
	st.result.Messages += s.accepted
	st.rate = float64(s.accepted) / timed(s.log, records).last.Sub(s.begun).Seconds()
	st.result.Add("rate", st.rate)
	st.result.Add("accept_p50", s.p50)
	st.result.Add("accept_p99", s.p99)
	st.result.Add("takeover", orphans.last(records, at).Seconds())
	st.result.Timeline = timeline(records, s.begun)
	st.result.Marks = []report.Mark{{At: at.Sub(s.begun).Seconds(), Text: "a node is killed"}}
	st.judge(s, rules)
	st.sink.Reset()
	if err := victim.start(st.scene.o.Program); err != nil {
		return err
	}
	st.group.Add(victim.cmd.Process.Pid)
	return victim.awaitReady(ctx)
}

// ids are those of accepted messages.
type ids struct {
	mu  sync.Mutex
	set map[string]bool
}

// add notes a message. It is called on the generator's event loops.
func (i *ids) add(m *load.Sent) {
	if m.Outcome != load.Accepted {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.set == nil {
		i.set = map[string]bool{}
	}
	i.set[m.ID] = true
}

// last returns how long after a moment the last of them arrived; 0 when all had before.
func (i *ids) last(received *record.ReceivedLog, from time.Time) (most time.Duration) {
	for r := range received.All() {
		if i.set[r.ID] {
			most = max(most, r.Accepted.Sub(from))
		}
	}
	return most
}

// fill queues the backlog.
func (st *stage) fill(ctx context.Context) (err error) {
	st.backlog, err = st.send(ctx, int64(st.number(st.Backlog)), 0, func(_ int, o *load.Options) {
		o.Envelope.Domains, o.Connections, o.Rate = load.NewDomains(deadDomain), 100, 0
	})
	if err == nil && st.backlog.refused > 0 {
		err = fmt.Errorf("%d messages of the backlog were not taken (%s)", st.backlog.refused,
			st.backlog.why)
	}
	st.rest(ctx)
	return err
}

// rest waits until the system has done what taking the backlog left it to do (its store merges what
// was written), a minute at the most, in the short form some seconds: that is a part of what the
// backlog has cost, and the next figure is what other mail costs beside it.
func (st *stage) rest(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, st.patience()*2/3)
	defer cancel()
	for before := st.group.CPU(); clock.Pause(ctx, time.Second); {
		now := st.group.CPU()
		if now-before < 30*time.Millisecond {
			return
		}
		before = now
	}
}

// drainBacklog has the backlog's destination come up, and checks what arrives.
func (st *stage) drainBacklog(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	_, port, _ := net.SplitHostPort(st.next)
	if st.dead, err = sink.Start(sink.Options{Listen: []string{net.JoinHostPort(deadHost,
		port)}}); err != nil {
		return err
	}
	start := time.Now()
	if err := st.drained(ctx, st.backlog, st.dead); err != nil {
		return err
	}
	at := timed(st.backlog.log, st.dead.Records())
	st.result.Add("drain_rate", float64(st.backlog.accepted)/at.last.Sub(start).Seconds())
	st.result.Messages += st.backlog.accepted
	r := record.Check(st.backlog.log, st.dead.Records(), record.Rules{})
	if !r.OK() {
		st.fault("of the backlog: %d recipients lost, %d changed, %d duplicated, %d unexpected",
			r.Lost.N, r.Changed.N, r.Duplicated.N, r.Unexpected.N)
	}
	st.result.Integrity += fmt.Sprintf("; of the backlog %d, all arrived unchanged", r.Acknowledged)
	return nil
}

// sendTools has smtp-source send to all nodes at once.
func (st *stage) sendTools(ctx context.Context, count int) error {
	addrs := st.system.addrs()
	var sources group
	for i, addr := range addrs {
		n, conns := share(int64(count), len(addrs), i),
			max(share(int64(st.connections), len(addrs), i), 1)
		sources.start(func() error {
			return peers.SmtpSource(ctx, addr, int(conns), int(n), st.size)
		})
	}
	return sources.wait()
}

// openIdle opens the idle connections and notes what each costs. close ends them.
func (st *stage) openIdle() (close func(), err error) {
	n := st.number(st.Idle)
	addrs := st.system.addrs()
	before := st.group.Memory()
	conns := make([]net.Conn, n)
	close = func() {
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
	}
	var openers group
	const parts = 8
	for part := range parts {
		openers.start(func() (err error) {
			for i := part; i < n && err == nil; i += parts {
				conns[i], err = Greet(addrs[i%len(addrs)], false)
			}
			return err
		})
	}
	if err := openers.wait(); err != nil {
		close()
		return nil, fmt.Errorf("opening %d idle connections: %w", n, err)
	}
	st.result.Add("idle_memory", float64(st.group.Memory()-before)/float64(n))
	return close, nil
}
