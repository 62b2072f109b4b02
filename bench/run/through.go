package run

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/postroad/postroad/bench/record"
	"github.com/postroad/postroad/bench/sink"
	"github.com/postroad/postroad/internal/clock"
)

// patience is how long a measurement may take beyond its time: for a system that takes mail much
// faster than it delivers, or loses it.
const patience = 90 * time.Second

// warmUps is how often a system runs at most before it is measured, in the short form once.
const warmUps = 12

// warmUp runs a little mail, more and more until it takes a part of a measurement's time, and then
// until its rate stops rising by half: a cluster that has just been formed is. That
// opens connections, fills caches and says how much is to be sent in the first round.
func (st *stage) warmUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, st.patience())
	defer cancel()
	count := max(st.connections, 50)
	if st.Recipients > 1 {
		count = st.connections
	}
	most := warmUps
	if st.scene.o.Short {
		most = 1
	}
	for range most {
		start, before := time.Now(), st.rate
		if err := st.warm(ctx, count); err != nil {
			return err
		}
		switch long := time.Since(start) > st.duration()/5; {
		case st.Messages > 0 && count > st.Messages, long && st.rate < 1.5*before:
			return nil
		case long:
			count = max(count, int(st.count()/2))
		default:
			count *= 5
		}
	}
	return nil
}

// warm sends so many messages and waits until they have arrived.
func (st *stage) warm(ctx context.Context, count int) error {
	if st.tool != nil {
		return st.throughTools(ctx, count, nil)
	}
	s, err := st.send(ctx, int64(count), 0, nil)
	if err != nil {
		return err
	}
	if s.accepted == 0 {
		return fmt.Errorf("it accepted nothing (%s)", s.why)
	}
	if err := st.await(ctx, s); err != nil {
		return err
	}
	st.rate = float64(s.accepted) / timed(s.log, st.sink.Records()).last.Sub(s.begun).Seconds()
	st.judge(s, record.Rules{})
	st.sink.Reset()
	return nil
}

// count is how many messages the next measurement has.
func (st *stage) count() int64 {
	n := int64(st.rate * st.duration().Seconds())
	if st.Messages > 0 {
		n = min(n, int64(st.Messages))
	}
	return max(n, int64(min(st.connections, 50)))
}

// through measures mail that comes and goes at the same time, once.
func (st *stage) through(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*st.duration()+st.patience())
	defer cancel()
	syscall.Sync() // what others have left to be written is not to be this one's
	a := openAccount(ctx, st.group)
	defer a.cancel()
	if st.tool != nil {
		return st.throughTools(ctx, int(st.count()), a)
	}
	count, last := st.count(), time.Duration(0)
	// the rate says nothing of what the system can take: it waits for destinations
	if len(st.Rules) > 0 {
		count, last = 0, st.duration()
	}
	s, err := st.send(ctx, count, last, nil)
	if err == nil {
		err = st.await(ctx, s)
	}
	if err != nil {
		return err
	}
	clock.Pause(ctx, settle)
	a.close()
	at := timed(s.log, st.sink.Records())
	seconds := at.last.Sub(s.begun).Seconds()
	st.judge(s, record.Rules{})
	st.figures(s, a, seconds)
	st.result.Add("accept_p50", s.p50)
	st.result.Add("accept_p99", s.p99)
	st.result.Add("deliver_p50", at.p50)
	st.result.Add("deliver_p99", at.p99)
	st.sink.Reset()
	return nil
}

// figures notes what a measurement has come to.
func (st *stage) figures(s *sending, a *account, seconds float64) {
	st.result.Messages += s.accepted
	st.rate = float64(s.accepted) / seconds
	st.result.Add("rate", st.rate)
	st.result.Add("cpu", float64(a.cpu.Microseconds())/float64(s.accepted))
	if st.Recipients > 1 {
		st.result.Add("recipients", float64(s.recipients)/seconds)
		st.result.Add("recipient_cpu", float64(a.cpu.Microseconds())/float64(s.recipients))
	}
	st.result.Add("memory", float64(a.peak))
	if _, ours := nodesOf(st.name); !ours && st.name == "exim" {
		return // its deliveries have no parent, so that nobody knows what they wrote
	}
	written := float64(
		a.written) / float64(s.accepted) / float64(st.size) / float64(st.system.members())
	st.result.Add("written", written)
	st.result.Add("disk_share",
		st.rate*float64(st.size)*written*float64(st.system.members())/st.scene.disk.Sequential)
}

// throughTools is through with Postfix's tools, whose check is that as many messages arrive as were
// acknowledged. Without an account it only warms up.
func (st *stage) throughTools(ctx context.Context, count int, a *account) error {
	before, start := st.tool.Count.Load(), time.Now()
	if err := st.sendTools(ctx, count); err != nil {
		return err
	}
	for st.tool.Count.Load()-before < int64(count) {
		if !clock.Pause(ctx, 5*time.Millisecond) {
			return fmt.Errorf("%d messages were acknowledged and %d arrived in time: %w", count,
				st.tool.Count.Load()-before, ctx.Err())
		}
	}
	seconds := time.Since(start).Seconds()
	s := &sending{accepted: int64(count), recipients: int64(count)}
	st.rate = float64(count) / seconds
	if a == nil {
		return nil
	}
	clock.Pause(ctx, settle)
	a.close()
	st.figures(s, a, seconds)
	if got := st.tool.Count.Load() - before; got != int64(count) {
		st.fault("%d messages were acknowledged and %d arrived", count, got)
	}
	st.result.Integrity = "as many arrived as were acknowledged"
	return nil
}

// await waits until everything that was acknowledged has arrived. That it has not when ctx ends is
// an error: nobody knows whether it was lost or is late.
func (st *stage) await(ctx context.Context, s *sending) error {
	after := stalled
	if st.scene.o.Short {
		after = shortStalled
	}
	times, err := st.urging(ctx, st.sink, after, func() error { return st.arrived(ctx, s) })
	st.urged += times
	return err
}

// arrived waits for it.
func (st *stage) arrived(ctx context.Context, s *sending) error {
	if err := st.sink.Wait(ctx, int(s.accepted)); err != nil {
		return st.late(s, err)
	}
	if st.Recipients == 1 && !st.Bounces {
		return nil
	}
	// messages with several recipients arrive in several transactions, and reports later than what
	// they are about
	for seen := -1; ; {
		if n := st.sink.Counts().Messages; n != seen {
			seen = n
			if st.missing(s) <= 0 {
				return nil
			}
		}
		if !clock.Pause(ctx, 20*time.Millisecond) {
			return st.late(s, ctx.Err())
		}
	}
}

// stalled is after how long without an arrival a system is asked to try now what it has put off:
// some would wait a quarter of an hour after one failure to connect. The time counts against its
// rate, and the report tells of it.
const stalled = 10 * time.Second

// urging calls wait. Meanwhile the system is asked to try now what it has put off whenever nothing
// has arrived at to for so long; urging returns how often.
func (st *stage) urging(
	ctx context.Context, to *sink.Server, stalled time.Duration, wait func() error,
) (times int, err error) {
	watching, end := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		for seen := to.Counts().Messages; clock.Pause(watching, stalled); {
			n := to.Counts().Messages
			if n == seen && st.system.flush(watching) == nil {
				times++
			}
			seen = n
		}
	})
	err = wait()
	end()
	watch.Wait()
	return times, err
}

// late says how much has not arrived.
func (st *stage) late(s *sending, err error) error {
	return fmt.Errorf("%d of %d recipients were not reached in time: %w", st.missing(s),
		s.recipients, err)
}

// missing is how many recipients have neither got their message nor been reported.
func (st *stage) missing(s *sending) int64 {
	n := s.recipients
	for r := range st.sink.Records().All() {
		n -= int64(len(r.Recipients))
	}
	return n
}

// judge holds what was acknowledged against what arrived.
func (st *stage) judge(s *sending, rules record.Rules) *record.Report {
	r := record.Check(s.log, st.sink.Records(), rules)
	lost := r.Lost.N
	if st.Bounces { // a report has to come for each
		lost -= r.Foreign
	}
	for _, f := range []struct {
		n    int
		what string
	}{
		{lost, "lost"}, {r.Changed.N, "changed"}, {r.Duplicated.N, "duplicated without an excuse"},
		{r.Unexpected.N, "unexpected"},
	} {
		if f.n != 0 {
			st.fault("%d recipients %s of %d acknowledged", f.n, f.what, r.Acknowledged)
		}
	}
	if st.TLS {
		if n := st.clear(); n > 0 {
			st.fault("%d messages arrived in clear", n)
		}
	}
	if st.refused += s.refused; s.why != "" {
		st.why = s.why
	}
	st.passed += r.Acknowledged
	st.excused += r.Excused.N
	st.bounced += r.Lost.N
	st.sayIntegrity()
	return r
}

// clear is how many messages came without TLS.
func (st *stage) clear() (n int) {
	for r := range st.sink.Records().All() {
		if !r.TLS {
			n++
		}
	}
	return n
}

// sayIntegrity is what the checks of all rounds have come to.
func (st *stage) sayIntegrity() {
	st.result.Integrity = fmt.Sprintf("%d acknowledged, all arrived unchanged", st.passed)
	if st.Bounces {
		st.result.Integrity += fmt.Sprintf(" but %d, of which the sender was told", st.bounced)
	}
	if st.refused > 0 {
		st.result.Integrity += fmt.Sprintf("; %d messages were refused (%s)", st.refused, st.why)
	}
	if st.excused > 0 {
		st.result.Integrity += fmt.Sprintf("; %d twice, as SMTP cannot rule out", st.excused)
	}
	if st.urged > 0 {
		st.result.Integrity += fmt.Sprintf("; asked %d times to try again what it had put off",
			st.urged)
	}
}
