package eventloop

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
)

const (
	// gnet does not say when its outbound buffer has run empty, so we look
	drainCheck  = 10 * time.Millisecond
	stallLimit  = 10 * time.Second
	bufferSize  = 4 << 10 // of a fresh buffer
	bufferKeep  = 64 << 10
	buffersKept = 64

	settleRounds = 8
)

// loop is our side of one gnet loop. Its fields belong to the loop's goroutine, save mu and
// ticking.
type loop struct {
	e     *Engine
	gl    gnet.EventLoop
	epoll int
	wheel wheel
	conns *Conn // doubly linked through Conn.next and Conn.prev
	open  int   // how many

	dirty    []*Conn // connections that settle has to look at
	spare    []*Conn
	gathers  bool     // settle comes when the present round is over
	settling bool     // in settle: a callback of gnet's is nested in one of ours
	blocked  []*Conn  // connections whose peer has not taken everything yet
	checking bool     // a look at blocked is due
	buffers  [][]byte // spare ones, so that idle connections have none
	plain    []byte   // what TLS has decrypted
	sealed   []byte   // what TLS has encrypted

	busy     atomic.Bool // there are connections, whose wheel is to be turned
	ticking  atomic.Bool // a tick has been posted and not run
	tickedAt time.Time   // when; owned by Engine.tick
	stalled  bool        // already reported; owned by Engine.tick

	mu struct {
		sync.Mutex
		tasks   []task
		spare   []task
		stopped bool
	}
}

// task is a function to run on the loop. A panic in it ends c, when there is one.
type task struct {
	c *Conn
	f func()
}

func newLoop(e *Engine, gl gnet.EventLoop, epoll int) *loop {
	l := &loop{e: e, gl: gl, epoll: epoll, tickedAt: time.Now()}
	l.wheel.now = l.now()
	return l
}

func (l *loop) now() int64 { return int64(time.Since(l.e.started) / l.e.o.tick) }

// post queues t. Only the first task of a batch wakes the loop. The wake-up is made under the lock,
// because after close gnet's descriptor of it may belong to somebody else.
func (l *loop) post(t task) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.stopped {
		return
	}
	l.mu.tasks = append(l.mu.tasks, t)
	if len(l.mu.tasks) == 1 {
		if err := l.gl.Execute(context.Background(), l); err != nil {
			l.e.o.Logf("eventloop: waking a loop: %v", err)
		}
	}
}

// close makes post do nothing from now on.
func (l *loop) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.stopped = true
	l.mu.tasks = nil
}

// Run runs what was posted. It implements gnet.Runnable.
func (l *loop) Run(context.Context) error {
	l.mu.Lock()
	tasks := l.mu.tasks
	l.mu.tasks, l.mu.spare = l.mu.spare[:0], nil
	l.mu.Unlock()

	for _, t := range tasks {
		l.run(t)
	}
	l.settle()

	clear(tasks)
	l.mu.Lock()
	if cap(tasks) <= 4096 {
		l.mu.spare = tasks
	}
	l.mu.Unlock()
	return nil
}

func (l *loop) run(t task) {
	defer l.guard(t.c)
	t.f()
}

// guard is deferred around every call into a handler. A panic ends that connection only.
func (l *loop) guard(c *Conn) {
	r := recover()
	if r == nil {
		return
	}
	l.e.stats.panics.Add(1)
	l.e.o.Logf("eventloop: panic in a handler: %v\n%s", r, debug.Stack())
	if c != nil {
		c.fail(fmt.Errorf("%w: %v", ErrPanic, r))
	}
}

// settle does what callbacks have asked for: it sends, starts TLS, closes. gnet may call us back
// from there (OnClose), then the outer settle goes on. A handler that writes whenever it is told
// that its output has drained would keep us here; after a few rounds the others have their turn.
func (l *loop) settle() {
	if l.settling {
		return
	}
	l.settling = true
	defer func() { l.settling = false }()
	for range settleRounds {
		if len(l.dirty) == 0 {
			return
		}
		batch := l.dirty
		l.dirty = l.spare[:0]
		for _, c := range batch {
			c.settle()
		}
		clear(batch)
		l.spare = batch
	}
	if len(l.dirty) > 0 {
		l.post(task{f: func() {}}) // after tasks comes settle
	}
}

// handled comes after the callbacks of one connection that was ready to be read. With
// Options.Gather what they asked for is done when those of all others that were ready have been
// called, too: peers on another processor get much at once and sleep less often in between.
func (l *loop) handled() {
	switch {
	case l.e.o.Gather == 0 || l.open < l.e.o.Gather:
		l.settle()
	case !l.gathers:
		l.gathers = true
		l.post(task{f: func() { l.gathers = false }}) // after tasks comes settle
	}
}

// tick posts a turn of the wheel, unless the last one has not run yet. It runs on Engine.tick's
// goroutine.
func (l *loop) tick() {
	if l.ticking.CompareAndSwap(false, true) {
		l.tickedAt, l.stalled = time.Now(), false
		l.post(task{f: l.turn})
		return
	}
	if since := time.Since(l.tickedAt); since > stallLimit && !l.stalled {
		l.stalled = true
		l.e.stats.stalls.Add(1)
		l.e.o.Logf("eventloop: a loop has been stuck in a callback for %v",
			since.Round(time.Second))
	}
}

// begin brings the wheel, which stands still while there are no connections, up to the present.
func (l *loop) begin() {
	l.wheel.tick(l.now(), func(t *timer) { t.owner.expired() })
	l.busy.Store(true)
	l.e.stir()
}

func (l *loop) turn() {
	l.ticking.Store(false)
	l.wheel.tick(l.now(), func(t *timer) { t.owner.expired() })
}

func (l *loop) each(f func(Handler)) {
	for c := l.conns; c != nil; c = c.next { // nothing is unlinked before settle
		l.run(task{c: c, f: func() { f(c.h) }})
	}
}

func (l *loop) abortAll() {
	for c := l.conns; c != nil; c = c.next {
		c.fail(ErrStopped)
	}
}

// block puts c among the connections whose peer has not taken everything.
func (l *loop) block(c *Conn) {
	if !c.blocked {
		c.blocked = true
		l.blocked = append(l.blocked, c)
	}
	if !l.checking {
		l.checking = true
		time.AfterFunc(drainCheck, func() { l.post(task{f: l.unblock}) })
	}
}

// unblock looks which connections' output has gone to the socket.
func (l *loop) unblock() {
	l.checking = false
	waiting := l.blocked
	l.blocked = nil
	for _, c := range waiting {
		c.blocked = false
		if c.state != stateClosed {
			c.sent()
		}
	}
}

// buffer returns an empty buffer; free takes it back.
func (l *loop) buffer() []byte {
	if n := len(l.buffers); n > 0 {
		b := l.buffers[n-1]
		l.buffers = l.buffers[:n-1]
		return b
	}
	return make([]byte, 0, bufferSize)
}

func (l *loop) free(b []byte) {
	if cap(b) >= bufferSize && cap(b) <= bufferKeep && len(l.buffers) < buffersKept {
		l.buffers = append(l.buffers, b[:0])
	}
}
