package eventloop

import (
	"context"
	"fmt"
	"math"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
)

// Engine is a set of event loops and the connections on them. Its methods may be called on any
// goroutine.
type Engine struct {
	o       Options
	client  *gnet.Client // gnet's loops without gnet's listeners (DESIGN.md)
	started time.Time
	active  atomic.Int64  // connections accepted or dialled and not yet closed
	zero    chan struct{} // tells Shutdown that active has reached 0
	stop    chan struct{} // closed by StopAccepting
	quit    chan struct{} // closed when the loops stop
	stirred chan struct{} // ends the sleep of tick
	tasks   sync.WaitGroup
	accepts sync.WaitGroup
	shakes  handshakes
	stats   counters

	mu struct {
		sync.Mutex
		loops     []*loop
		listeners []net.Listener
		stopping  bool
	}
}

type counters struct {
	accepted, dialled, refused, acceptErrors, handshakes, handshakeFailures, overflows, panics,
	stalls atomic.Uint64
}

// Start starts the loops.
func Start(o Options) (*Engine, error) {
	limit, err := fileLimit()
	if err != nil {
		return nil, err
	}
	if o.MaxConnections, err = connectionCap(limit, o.ReserveFiles, o.MaxConnections); err != nil {
		return nil, err
	}
	o.setDefaults()
	e := &Engine{
		o: o, started: time.Now(),
		zero: make(chan struct{}, 1), stirred: make(chan struct{}, 1), stop: make(chan struct{}),
		quit: make(chan struct{}),
	}
	e.shakes.init(o.Handshakes, max(2, runtime.GOMAXPROCS(0)), o.grace)
	e.client, err = gnet.NewClient(&adapter{e: e},
		gnet.WithNumEventLoop(o.Loops),
		gnet.WithReadBufferCap(readBuffer),
		// what a slow reader keeps beyond that lies in a list, which is freed when it is empty
		gnet.WithWriteBufferCap(1024),
		// the net package has set TCP_NODELAY on accepted sockets already
		gnet.WithTCPNoDelay(gnet.TCPDelay),
		gnet.WithLogger(logger{printf: o.Logf}))
	if err != nil {
		return nil, fmt.Errorf("creating event loops: %w", err)
	}
	if err := e.client.Start(); err != nil {
		return nil, fmt.Errorf("starting event loops: %w", err)
	}
	e.tasks.Go(e.tick)
	return e, nil
}

func (o *Options) setDefaults() {
	setDefault(&o.Loops, max(1, runtime.GOMAXPROCS(0)/2))
	setDefault(&o.InboundLimit, 64<<10)
	setDefault(&o.OutboundLimit, 1<<20)
	setDefault(&o.Handshakes, 512)
	setDefault(&o.HandshakeLimit, 10*time.Second)
	setDefault(&o.Linger, 10*time.Second)
	setDefault(&o.tick, 100*time.Millisecond)
	setDefault(&o.grace, stallGrace)
	setDefault(&o.roomGrace, roomGrace)
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// tick drives the wheels of all loops that have connections. While none has it sleeps.
func (e *Engine) tick() {
	t := time.NewTicker(e.o.tick)
	defer t.Stop()
	for {
		select {
		case <-e.quit:
			return
		case <-t.C:
		}
		busy := false
		for _, l := range e.loops() {
			if l.busy.Load() {
				busy = true
				l.tick()
			}
		}
		if busy {
			continue
		}
		t.Stop()
		select {
		case <-e.quit:
			return
		case <-e.stirred:
		}
		t.Reset(e.o.tick)
	}
}

// stir ends the sleep of tick: a loop has a connection.
func (e *Engine) stir() {
	select {
	case e.stirred <- struct{}{}:
	default:
	}
}

// ticks converts a duration, rounding up, so that no deadline comes early.
func (e *Engine) ticks(d time.Duration) int64 { return int64((d+e.o.tick-1)/e.o.tick) + 1 }

func (e *Engine) loops() []*loop {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.mu.loops // only ever appended to
}

// StopAccepting closes the listeners. When it returns, no further connection will be opened.
func (e *Engine) StopAccepting() {
	e.mu.Lock()
	if !e.mu.stopping {
		e.mu.stopping = true
		close(e.stop)
		for _, l := range e.mu.listeners {
			l.Close() // its error could only say that it is closed already
		}
	}
	e.mu.Unlock()
	e.accepts.Wait()
}

// Each calls f once for each open connection, on the connection's loop, soon.
func (e *Engine) Each(f func(Handler)) {
	for _, l := range e.loops() {
		l.post(task{f: func() { l.each(f) }})
	}
}

// Shutdown stops accepting, waits until all connections have ended, and stops the loops. It does
// not ask the connections to end: that is the protocol's to say (StopAccepting, Each, then
// Shutdown). When ctx ends first, the remaining connections are aborted and ctx's error is
// returned. It may be called once.
func (e *Engine) Shutdown(ctx context.Context) error {
	e.StopAccepting()
	err := e.drain(ctx)
	if err != nil {
		e.abortAll()
	}
	close(e.quit)
	e.tasks.Wait()
	for _, l := range e.loops() {
		l.close()
	}
	if serr := e.client.Stop(); serr != nil && err == nil {
		err = fmt.Errorf("stopping event loops: %w", serr)
	}
	return err
}

// drain waits until there is no connection.
func (e *Engine) drain(ctx context.Context) error {
	for e.active.Load() > 0 {
		select {
		case <-e.zero:
		case <-ctx.Done():
			return fmt.Errorf("%d connections left at shutdown: %w", e.active.Load(), ctx.Err())
		}
	}
	return nil
}

// abortAll ends all connections and waits for it, but not for a loop that is stuck: gnet closes
// what is left.
func (e *Engine) abortAll() {
	for _, l := range e.loops() {
		l.post(task{f: l.abortAll})
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = e.drain(ctx) // what is left then is gnet's to close
}

// leave gives back the place of a connection.
func (e *Engine) leave() {
	if e.active.Add(-1) == 0 {
		select {
		case e.zero <- struct{}{}:
		default:
		}
	}
}

// Connections returns the number of open connections.
func (e *Engine) Connections() int { return int(e.active.Load()) }

// MaxConnections returns the number of connections above which new ones are refused. Without an
// engine, as in a test, there is none.
func (e *Engine) MaxConnections() int {
	if e == nil {
		return math.MaxInt
	}
	return e.o.MaxConnections
}

// Stats returns the totals.
func (e *Engine) Stats() Stats {
	s := &e.stats
	return Stats{
		Accepted: s.accepted.Load(), Dialled: s.dialled.Load(), Refused: s.refused.Load(),
		AcceptErrors: s.acceptErrors.Load(),
		Handshakes:   s.handshakes.Load(), HandshakeFailures: s.handshakeFailures.Load(),
		Overflows: s.overflows.Load(), Panics: s.panics.Load(), Stalls: s.stalls.Load(),
	}
}
