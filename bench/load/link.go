package load

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/postroad/postroad/internal/eventloop"
)

// link is one connection of a slot: the eventloop.Handler, and the owner of the session. It belongs
// to the connection's loop.
type link struct {
	*slot
	c       *eventloop.Conn
	session session
	number  int   // of the connection, from 1
	dialled int64 // when its opening began
	opened  int64 // when TCP was there
	isReady bool  // the session could send
	closed  bool
	failure error // why it ended, where the engine does not know
	waker   func()
}

func newLink(s *slot, number int) *link {
	k := &link{slot: s, number: number, dialled: s.l.now()}
	k.session = session{p: &s.l.protocol, own: k}
	k.waker = k.wake
	return k
}

// handler makes the link that of a connection that is open.
func (k *link) handler(c *eventloop.Conn) eventloop.Handler {
	k.c, k.opened = c, k.l.now()
	k.slot.link.Store(k)
	return k
}

// outputs are buffers for what a call of a session asks for: an idle connection has none.
var outputs = sync.Pool{New: func() any { return new(output) }}

// call calls a method of the session and does what it asks for.
func (k *link) call(f func(*session, int64, *output)) {
	o := outputs.Get().(*output)
	f(&k.session, k.l.now(), o)
	k.perform(o)
}

func (k *link) perform(o *output) {
	if len(o.out) > 0 {
		k.c.Write(o.out)
	}
	switch o.action {
	case actStartTLS:
		k.c.StartTLSClient(k.l.tls)
	case actClose:
		k.c.Close()
	case actAbort:
		k.failure = k.session.err
		k.c.Abort()
	}
	if k.session.awaiting() {
		k.c.SetDeadline(k.l.o.Timeout)
	} else {
		k.c.SetDeadline(0)
	}
	*o = output{out: o.out[:0]}
	outputs.Put(o)
}

// wake has the session look for messages again. It is posted, so the connection may have ended
// meanwhile.
func (k *link) wake() {
	if !k.closed {
		k.call((*session).wake)
	}
}

// Open, Data, Timeout, Drained, TLSDone and Closed implement eventloop.Handler.
func (k *link) Open() { k.c.SetDeadline(k.l.o.Timeout) }

func (k *link) Data(p []byte) int {
	o := outputs.Get().(*output)
	n := k.session.step(k.l.now(), p, o)
	k.perform(o)
	return n
}

func (k *link) Timeout() {
	k.failure = fmt.Errorf("no reply to %s within %v", k.session.place(), k.l.o.Timeout)
	k.c.Abort()
}

func (k *link) Drained() {
	if k.session.writing != nil {
		k.call((*session).drained)
	}
}

func (k *link) TLSDone(err error) {
	if err == nil && k.l.o.TLS == TLSStart {
		k.call((*session).tlsDone)
	}
}

func (k *link) Closed(err error) {
	k.closed = true
	k.slot.link.Store(nil)
	k.l.schedule.leave(&k.turn)
	place, orderly := k.session.place(), err == nil && k.failure == nil
	if k.failure != nil {
		err = k.failure
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("the server has closed the connection")
	}
	k.session.closed(k.l.now())
	k.fails++
	if k.isReady {
		k.mt.closed(!orderly)
		k.fails = 0
	}
	if !orderly {
		k.mt.failed(place, err, k.isReady)
	}
	k.l.next(k.slot)
}

// ready, refused, over, take and ended implement owner; the slot has the last three.
func (k *link) ready(now int64, o offers) {
	k.isReady = true
	k.mt.opened(k.opened-k.dialled, now-k.opened, o)
}

func (k *link) refused(at string, r reply) { k.mt.refused(at, r) }

func (k *link) ended(now int64, m *message) { k.slot.ended(now, m, k.number) }
