package eventloop

import (
	"container/list"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

const (
	recordHeader    = 5 // RFC 8446 5.1
	recordHandshake = 22
)

// handshake is what a loop and a handshake's goroutine share.
type handshake struct {
	s        *secure
	launched bool   // owned by the loop
	resume   func() // has the loop look again whether it may read from the socket
	queued   queued

	mu struct {
		sync.Mutex
		in  []byte
		err error
	}
	more sync.Cond
}

// queued is a handshake's part in handshakes, whose lock guards it.
type queued struct {
	party     *party
	waits     *list.Element // in party.fresh: it has no place yet
	computes  bool          // it has a turn
	turn      chan struct{} // gets one when a handshake that has begun has a turn again
	since     time.Time     // its peer makes it wait
	inAll     *list.Element // of handshakes.mu.stalled, meanwhile
	inParty   *list.Element // of party.stalled
	displaced bool          // another has its place
}

func newHandshake(s *secure, resume func()) *handshake {
	h := &handshake{s: s, resume: resume}
	h.queued.turn = make(chan struct{}, 1)
	h.more.L = &h.mu
	return h
}

// feed hands octets to the handshake, which begins with the first complete record: a peer that
// connects and says nothing, or drips, costs neither a goroutine nor a place.
func (h *handshake) feed(p []byte) {
	h.mu.Lock()
	h.mu.in = append(h.mu.in, p...)
	ready := recordComplete(h.mu.in)
	h.mu.Unlock()
	h.more.Signal()
	if ready && !h.launched {
		h.launch()
	}
}

// launch has the handshake run as soon as there is a place. A client's begins at once, since it
// speaks first.
func (h *handshake) launch() {
	h.launched = true
	h.s.c.loop.e.shakes.submit(h)
}

// held returns the number of octets that wait for the handshake.
func (h *handshake) held() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.mu.in)
}

// recordComplete reports whether p begins with a whole handshake record, or with something else
// that crypto/tls is to refuse.
func recordComplete(p []byte) bool {
	if len(p) < recordHeader {
		return false
	}
	return p[0] != recordHandshake || len(p) >= recordHeader+int(p[3])<<8+int(p[4])
}

// read blocks until there are octets or the connection has ended. While it waits for the peer the
// handshake does without its turn.
func (h *handshake) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.mu.in) == 0 && h.mu.err == nil {
		h.await()
	}
	if len(h.mu.in) == 0 {
		return 0, h.mu.err
	}
	n := copy(p, h.mu.in)
	h.mu.in = h.mu.in[n:]
	if len(h.mu.in) == 0 {
		h.mu.in = nil
		h.resume()
	}
	return n, nil
}

// await waits for octets or the end, without a turn meanwhile, and without h.mu while it takes the
// lock of all handshakes.
func (h *handshake) await() {
	shakes := &h.s.c.loop.e.shakes
	h.mu.Unlock()
	shakes.stall(h)
	h.mu.Lock()
	for len(h.mu.in) == 0 && h.mu.err == nil {
		h.more.Wait()
	}
	if h.mu.err == nil {
		h.mu.Unlock()
		shakes.again(h)
		h.mu.Lock()
	}
}

// end makes read fail, so that the goroutine ends.
func (h *handshake) end(err error) {
	h.mu.Lock()
	h.mu.in, h.mu.err = nil, err
	h.mu.Unlock()
	h.more.Signal()
}

// rest returns what the handshake has not read: application data that came right behind it.
func (h *handshake) rest() []byte { return h.mu.in }

// shake performs one handshake and reports to the loop. The panic that it guards against is one in
// a callback of the tls.Config.
func shake(s *secure) {
	e := s.c.loop.e
	err := error(ErrPanic)
	defer func() {
		if r := recover(); r != nil {
			e.stats.panics.Add(1)
			e.o.Logf("eventloop: panic in a TLS handshake: %v\n%s", r, debug.Stack())
			err = fmt.Errorf("%w: %v", ErrPanic, r)
		}
		s.c.Post(func() { s.done(err) })
	}()
	err = s.conn.Handshake()
}
