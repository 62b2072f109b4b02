package eventloop

import (
	"fmt"
	"runtime/debug"
	"sync"
)

const (
	recordHeader    = 5 // RFC 8446 5.1
	recordHandshake = 22
)

// handshake is what a loop and a handshake's goroutine share.
type handshake struct {
	launched bool   // owned by the loop
	resume   func() // has the loop look again whether it may read from the socket

	mu struct {
		sync.Mutex
		in  []byte
		err error
	}
	more sync.Cond
}

func newHandshake(resume func()) *handshake {
	h := &handshake{resume: resume}
	h.more.L = &h.mu
	return h
}

// feed hands octets to the handshake, which begins with the first complete record: a peer that
// connects and says nothing, or drips, costs neither a goroutine nor a slot.
func (h *handshake) feed(s *secure, p []byte) {
	h.mu.Lock()
	h.mu.in = append(h.mu.in, p...)
	ready := recordComplete(h.mu.in)
	h.mu.Unlock()
	h.more.Signal()
	if ready && !h.launched {
		h.launch(s)
	}
}

// launch has the handshake run as soon as there is a slot. A client's begins at once, since it
// speaks first.
func (h *handshake) launch(s *secure) {
	h.launched = true
	s.c.loop.e.shakes.submit(s)
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

// read blocks until there are octets or the connection has ended.
func (h *handshake) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.mu.in) == 0 && h.mu.err == nil {
		h.more.Wait()
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

// end makes read fail, so that the goroutine ends.
func (h *handshake) end(err error) {
	h.mu.Lock()
	h.mu.in, h.mu.err = nil, err
	h.mu.Unlock()
	h.more.Signal()
}

// rest returns what the handshake has not read: application data that came right behind it.
func (h *handshake) rest() []byte { return h.mu.in }

// handshakes bounds the handshakes in progress. Those over the bound wait in the order of their
// coming; there are never more of them than connections.
type handshakes struct {
	slots int // Options.Handshakes
	mu    struct {
		sync.Mutex
		running int
		waiting []*secure
	}
}

// submit runs the handshake of s, when there is a slot.
func (q *handshakes) submit(s *secure) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.running == q.slots {
		q.mu.waiting = append(q.mu.waiting, s)
		return
	}
	q.mu.running++
	go q.run(s)
}

// run is the handshakes' goroutine: it goes on with one that waits, if any.
func (q *handshakes) run(s *secure) {
	for s != nil {
		shake(s)
		s = q.next()
	}
}

func (q *handshakes) next() *secure {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.mu.waiting) == 0 {
		q.mu.waiting = nil
		q.mu.running--
		return nil
	}
	s := q.mu.waiting[0]
	q.mu.waiting = q.mu.waiting[1:]
	return s
}

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
