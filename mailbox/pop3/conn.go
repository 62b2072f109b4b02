package pop3

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/postroad/postroad/internal/eventloop"
	"github.com/postroad/postroad/internal/inbound"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/mailbox"
)

// conn is the shell around a Session: it moves octets between the event loop and the session, has
// its actions done by the workers, and holds the lock. All its methods run on the connection's
// loop, except those of jobs.
type conn struct {
	session Session
	c       *eventloop.Conn
	paused  bool // commands wait for the client to take replies
	busy    bool // a worker does an action; content is its own meanwhile
	locked  bool // lock is held
	lock    mailbox.LockID
	content content
	ahead   readAhead
}

// maxUnread is how many octets of replies may wait before further commands do.
const maxUnread = 32 << 10

// outputs have room for a piece and its dots.
var outputs = sync.Pool{New: func() any { return &Output{Reply: make([]byte, 0, 64<<10)} }}

func newConn(l *listener, c *eventloop.Conn) *conn {
	h := &conn{c: c}
	h.session.l, h.session.stopping, h.session.addr = l, l.srv.open.Enter(), c.RemoteAddr()
	h.session.admitted = !inbound.Listed(l.ProxyFrom, c.RemoteAddr().Addr())
	l.srv.stats.connections.Add(1)
	return h
}

func (h *conn) srv() *Server { return h.session.l.srv }

// call makes one call of the session and does what it asks for.
func (h *conn) call(f func(now time.Time, o *Output)) {
	o := outputs.Get().(*Output)
	now := time.Now()
	f(now, o)
	h.do(now, o)
}

// do sends what a call of the session said, does its action, and gives the output back.
func (h *conn) do(now time.Time, o *Output) {
	if o.Action == Fetch {
		if text := h.ahead.take(h.srv(), o.Piece); text != nil {
			o.Action = None
			h.session.Fetched(now, text, nil, o)
			h.ahead.tidy(h.srv())
		}
	}
	if len(o.Reply) > 0 {
		h.c.Write(o.Reply)
	}
	if o.Renew {
		h.renew()
	}
	switch o.Action {
	case StartTLS:
		h.c.StartTLS(o.TLS)
	case AcceptTLS:
		h.c.SetRemoteAddr(h.session.addr)
		h.c.AcceptTLS(o.TLS)
	case Authenticate:
		h.authenticate(o.Login)
	case Open:
		h.open(o.User)
	case Fetch:
		h.fetch(o.Piece, o.Ahead)
	case Update:
		h.update(o.Removals)
	case Close:
		h.c.Close()
	case Abort:
		h.c.Abort()
	}
	h.release()
	h.c.SetDeadline(h.session.Wait(now))
	*o = Output{Reply: o.Reply[:0], Ahead: o.Ahead[:0]}
	outputs.Put(o)
}

// release gives back what the session does not need any more. The lock goes before the last reply
// does, so that a client that comes back at once finds it free.
func (h *conn) release() {
	if h.busy {
		return
	}
	if s := h.session.state; s != stateFetching && s != stateSending {
		h.content.close(h.srv())
	}
	if !h.session.Locked() {
		h.ahead.release(h.srv())
	}
	if h.locked && !h.session.Locked() {
		h.locked = false
		h.srv().Maildrops.Unlock(h.lock)
	}
}

// Open greets the client.
func (h *conn) Open() { h.call(h.session.Start) }

// Data gives received octets to the session and returns how many it took.
func (h *conn) Data(p []byte) (n int) {
	now := time.Now()
	for n < len(p) {
		if h.paused = h.c.Buffered() > maxUnread; h.paused {
			break
		}
		o := outputs.Get().(*Output)
		used := h.session.Step(now, p[n:], o)
		n += used
		h.do(now, o)
		if used == 0 || h.session.Parked() {
			break
		}
	}
	return n
}

// Drained says that the output has gone to the socket.
func (h *conn) Drained() {
	switch h.session.state {
	case stateListing, stateSending:
		h.call(h.session.Drained)
	default:
		if !h.paused {
			return
		}
	}
	h.paused = false
	h.c.Resume()
}

// Timeout says that the session's time is over.
func (h *conn) Timeout() {
	h.ahead.release(h.srv()) // who is idle needs no memory
	h.call(h.session.Timeout)
	h.c.Resume()
}

// TLSDone says how the TLS handshake ended.
func (h *conn) TLSDone(err error) {
	stats := &h.srv().stats
	if err != nil { // the engine closes
		stats.tlsFailed.Add(1)
		return
	}
	stats.tls.Add(1)
	h.call(h.session.TLSDone)
}

// Closed says that the connection has ended, and why.
func (h *conn) Closed(err error) {
	why := "the client closed the connection"
	if err != nil && !errors.Is(err, io.EOF) {
		why = err.Error()
	}
	h.session.End(why)
	h.release()
	h.srv().open.Leave()
}

func (h *conn) shutdown() { h.call(h.session.Shutdown) }

// cut ends a session when a shutdown takes too long.
func (h *conn) cut() { h.call(h.session.Cut) }

func (h *conn) authenticate(login Login) {
	h.session.l.authenticator().Plain(
		h.session.addr,
		login.Authzid,
		login.User,
		login.Password,
		func(user string, f *smtp.Failure) {
			h.c.Post(func() {
				h.call(func(now time.Time, o *Output) { h.session.Authenticated(now, user, f, o) })
				h.c.Resume()
			})
		},
	)
}

// work has job done by a worker, and then answer on the loop; job must not touch the connection.
func (h *conn) work(by *workers, job func(), answer func(now time.Time, o *Output)) {
	h.busy = true
	by.do(func() {
		job()
		h.answer(answer)
	})
}

// answer gives the answer to an action, when it is done.
func (h *conn) answer(answer func(now time.Time, o *Output)) {
	h.c.Post(func() {
		h.busy = false
		h.call(answer)
		h.c.Resume()
	})
}

// open locks the maildrop, which may wait for its owner, and then lists it.
func (h *conn) open(user string) {
	h.busy = true
	srv := h.srv()
	srv.calls.do(func() {
		op := srv.take(user)
		if op.err != nil {
			h.answer(
				func(now time.Time, o *Output) { h.session.Opened(now, op.asked, nil, op.err, o) },
			)
			return
		}
		srv.reads.do(func() {
			srv.fill(&op)
			h.answer(func(now time.Time, o *Output) {
				h.lock, h.locked = op.lock, op.err == nil
				h.session.Opened(now, op.asked, op.maildrop, op.err, o)
			})
		})
	})
}

func (h *conn) fetch(p Piece, next []Piece) {
	srv, box, buf := h.srv(), h.lock.Mailbox, pieces.Get().(*[pieceSize]byte)
	if len(next) > 0 && srv.readers.take(maxReaders) {
		h.fetchAhead(p, slices.Clone(next), buf)
		return
	}
	var err error
	h.work(
		srv.reads,
		func() { err = h.content.read(srv, box, p, buf[:]) },
		func(now time.Time, o *Output) {
			h.session.Fetched(now, buf[:p.Length], err, o)
			pieces.Put(buf)
			if h.session.state == stateSending {
				h.c.Post(
					h.rest,
				// after what is sent now, if the client takes it, has been followed by the next
				// piece
				)
			}
		},
	)
}

// fetchAhead reads a whole message, and behind it those that are probably next. It has taken a
// place of a reader.
func (h *conn) fetchAhead(p Piece, next []Piece, buf *[pieceSize]byte) {
	srv, box := h.srv(), h.lock.Mailbox
	var list []read
	var err error
	h.work(srv.reads, func() {
		if err = h.content.read(srv, box, p, buf[:]); err == nil {
			list = h.content.readAhead(srv, box, next, buf, p.Length)
		}
	}, func(now time.Time, o *Output) {
		h.session.Fetched(now, buf[:p.Length], err, o)
		h.ahead.put(srv, buf, list)
	})
}

// rest lets the content go of a client that does not read.
func (h *conn) rest() {
	if !h.busy {
		h.content.rest(h.srv())
	}
}

func (h *conn) update(uids []mailbox.UID) {
	srv, id := h.srv(), h.lock
	var err error
	h.work(srv.calls, func() {
		ctx, cancel := context.WithTimeout(context.Background(), srv.limits.Load().CallTimeout)
		defer cancel()
		err = srv.Maildrops.Update(ctx, id, uids)
	}, func(_ time.Time, o *Output) { h.session.Updated(err, o) })
}

// renew renews the lock, beside whatever else is done.
func (h *conn) renew() {
	srv, id := h.srv(), h.lock
	srv.calls.do(func() {
		asked := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), srv.limits.Load().LockFor/3)
		defer cancel()
		err := srv.Maildrops.Renew(ctx, id)
		h.c.Post(
			func() {
				h.call(func(now time.Time, o *Output) { h.session.Renewed(now, asked, err, o) })
			},
		)
	})
}
