package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/postroad/postroad/internal/eventloop"
)

// Load is a load that runs. Its methods may be called on any goroutine.
type Load struct {
	o        Options
	tls      *tls.Config
	protocol protocol
	schedule *schedule
	engine   *eventloop.Engine
	meters   []*meter
	slots    []*slot

	started   time.Time
	cpu       time.Duration // of the process at the start
	stopped   atomic.Bool
	numbers   atomic.Int64 // of connections
	running   atomic.Int64 // slots that are not done
	dials     chan *slot   // slots that want a connection; has room for all
	dialling  context.Context
	endDials  context.CancelFunc
	kick      chan struct{} // has the pacer look again
	done      chan struct{} // closed when no slot is left
	tasks     sync.WaitGroup
	waitOnce  sync.Once
	result    *Result
	resultErr error
}

// dialers is how many connections are opened at a time.
const dialers = 16

// gather is how many connections of a loop write together. A server on the other processor that
// gets one command at a time sleeps, and is woken, for each.
const gather = 8

// Start begins a load. It fails only for options that make no sense, and when the event loops do
// not start.
func Start(o Options) (*Load, error) {
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	l := &Load{
		o: o, started: time.Now(),
		schedule: newSchedule(&o), dials: make(chan *slot, o.Connections),
		kick: make(chan struct{}, 1), done: make(chan struct{}),
	}
	var err error
	l.engine, err = eventloop.Start(eventloop.Options{Loops: o.Loops, Gather: gather,
		OutboundLimit: 16 << 20, HandshakeLimit: o.Timeout, Linger: 2 * time.Second,
		ReserveFiles: 64})
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	if most := l.engine.MaxConnections(); o.Connections > most {
		_ = l.engine.Shutdown(context.Background()) // it has no connection
		return nil, fmt.Errorf(
			"load: %d connections are more than the limit of open files allows (%d): raise it "+
				"(ulimit -n)", o.Connections, most)
	}
	l.protocol = protocol{o: &l.o, maker: newMaker(&l.o, l.started)}
	l.tls = l.o.TLSConfig
	l.begin()
	return l, nil
}

func (l *Load) begin() {
	l.dialling, l.endDials = context.WithCancel(context.Background())
	l.started, l.cpu = time.Now(), processorTime()
	l.running.Store(int64(l.o.Connections))
	for range l.o.Loops {
		l.meters = append(l.meters, newMeter())
	}
	for i := range l.o.Connections {
		s := newSlot(l, l.meters[i%len(l.meters)])
		l.slots = append(l.slots, s)
		l.dials <- s
	}
	for range min(dialers, l.o.Connections) {
		l.tasks.Go(l.dialer)
	}
	l.tasks.Go(l.pace)
}

// now returns the time since the start, in nanoseconds.
func (l *Load) now() int64 { return int64(time.Since(l.started)) }

func (l *Load) time(ns int64) time.Time { return l.started.Add(time.Duration(ns)) }

// dialer opens connections for the slots that want one.
func (l *Load) dialer() {
	for {
		select {
		case <-l.done:
			return
		case s := <-l.dials:
			l.dial(s)
		}
	}
}

func (l *Load) dial(s *slot) {
	if s.over() {
		l.finish(s)
		return
	}
	n := int(l.numbers.Add(1))
	o := eventloop.DialOptions{Timeout: l.o.Timeout, New: newLink(s, n).handler}
	if l.o.TLS == TLSImplicit {
		o.TLS = l.tls
	}
	if len(l.o.Source) > 0 {
		o.Source = l.o.Source[n%len(l.o.Source)]
	}
	err := l.engine.Dial(l.dialling, l.o.Addr, &o)
	if err == nil {
		return
	}
	var op *net.OpError
	if errors.As(err, &op) {
		// without ports, which would make each one another
		err = fmt.Errorf("%s: %w", op.Op, op.Err)
	}
	s.mt.failed("connect", err, false)
	s.fails++
	l.next(s)
}

// next has a slot whose connection has ended, or was not opened, get another, unless that is of no
// more use.
func (l *Load) next(s *slot) {
	switch {
	case s.over() || s.fails > l.o.Reconnects && l.o.Reconnects >= 0 || l.stopped.Load():
		l.finish(s)
	case s.fails == 0:
		l.dials <- s
	default:
		pause := min(100*time.Millisecond<<min(s.fails-1, 10), 2*time.Second)
		time.AfterFunc(pause, func() { l.dials <- s })
	}
}

// finish gives up a slot. What it had to try again, or was given and has not begun, ends with it.
func (l *Load) finish(s *slot) {
	now := l.now()
	for _, m := range s.again {
		s.done(now, m)
	}
	s.again = nil
	if number, due, ok := l.schedule.assigned(&s.turn); ok {
		s.done(now, s.message(number, due))
	}
	if l.running.Add(-1) == 0 {
		l.schedule.stop()
		close(l.done)
	}
}

// Stop begins no further message; what is under way gets Options.Timeout to end.
func (l *Load) Stop() {
	l.stopped.Store(true)
	l.schedule.stop()
	l.endDials()
	l.look()
}

// SetRate changes the rate of an open loop from now on, in messages a second. A closed loop stays
// one.
func (l *Load) SetRate(rate float64) {
	l.schedule.setRate(l.now(), rate)
	l.look()
}

// look has the pacer look again.
func (l *Load) look() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// Wait waits until all messages are sent and answered, or until ctx ends, which is Stop, and
// returns the result. It ends the load: further calls return the same.
func (l *Load) Wait(ctx context.Context) (*Result, error) {
	l.waitOnce.Do(func() { l.result, l.resultErr = l.wait(ctx) })
	return l.result, l.resultErr
}

func (l *Load) wait(ctx context.Context) (*Result, error) {
	select {
	case <-l.done:
	case <-ctx.Done():
		l.Stop()
		t := time.NewTimer(l.o.Timeout)
		defer t.Stop()
		select {
		case <-l.done:
		case <-t.C:
		}
	}
	cpu := processorTime() - l.cpu
	l.Stop()
	ended, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	err := l.engine.Shutdown(ended)
	<-l.done
	l.tasks.Wait()
	// else it says that connections were cut, which are counted
	if err != nil && ended.Err() == nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	return l.sumUp(cpu), nil
}

// processorTime returns what this process has used.
func processorTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
