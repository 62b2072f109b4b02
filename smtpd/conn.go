package smtpd

import (
	"sync"
	"time"

	"github.com/postroad/postroad/internal/eventloop"
	"github.com/postroad/postroad/internal/inbound"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
)

// conn is the shell around a Session: it moves octets between the event loop and the session and
// does its actions. All its methods run on the connection's loop, except committed.
type conn struct {
	session Session
	c       *eventloop.Conn
	paused  bool // replies wait for the client to read
	gone    bool // Closed was called

	// The queue's answer, from committed to settle; at most one is under way.
	id      mail.ID
	failure *smtp.Failure
	// made at the first message, so that the others allocate nothing
	committed func(mail.ID, *smtp.Failure)
	settled   func()
}

// maxUnread is how many octets of replies may wait before further commands do.
const maxUnread = 32 << 10

var outputs = sync.Pool{New: func() any { return &Output{Reply: make([]byte, 0, maxReplies+1024)} }}

func newConn(l *listener, c *eventloop.Conn) *conn {
	h := &conn{c: c}
	h.session.l, h.session.stopping = l, l.srv.open.Enter()
	h.session.client = Client{Addr: c.RemoteAddr(), Local: c.LocalAddr(), Kind: l.Kind,
		Session: l.srv.sessionID(), Tenant: l.Tenant, Listener: l.Name, LoginDomain: l.LoginDomain}
	h.session.admitted = !inbound.Listed(l.ProxyFrom, c.RemoteAddr().Addr())
	l.srv.stats.connections.Add(1)
	return h
}

// call makes one call of the session and does what it asks for.
func (h *conn) call(f func(now time.Time, o *Output)) {
	o := outputs.Get().(*Output)
	now := time.Now()
	f(now, o)
	h.do(now, o)
}

// do sends what a call of the session said, does its action, and gives the output back.
func (h *conn) do(now time.Time, o *Output) {
	if len(o.Reply) > 0 {
		h.c.Write(o.Reply)
	}
	h.c.SetDeadline(h.session.Wait(now))
	switch o.Action {
	case StartTLS:
		h.c.StartTLS(o.TLS)
	case AcceptTLS:
		h.c.SetRemoteAddr(h.session.client.Addr)
		h.c.AcceptTLS(o.TLS)
	case Authenticate:
		h.authenticate(o.Login)
	case Submit:
		h.submit(o)
	case Close:
		h.c.Close()
	}
	*o = Output{Reply: o.Reply[:0]}
	outputs.Put(o)
}

func (h *conn) Open() { h.call(h.session.Start) }

func (h *conn) Data(p []byte) (n int) {
	now := time.Now()
	for n < len(p) {
		if h.paused = h.c.Buffered() > maxUnread; h.paused {
			break
		}
		o := outputs.Get().(*Output)
		used := h.session.Step(now, p[n:], o)
		n += used
		parked := o.Action != None
		h.do(now, o)
		if used == 0 || parked {
			break
		}
	}
	return n
}

func (h *conn) Drained() {
	if h.paused {
		h.paused = false
		h.c.Resume()
	}
}

func (h *conn) Timeout() {
	h.call(h.session.Timeout)
	h.c.Resume()
}

func (h *conn) TLSDone(err error) {
	stats := &h.session.l.srv.stats
	if err != nil { // the engine closes
		stats.tlsFailed.Add(1)
		return
	}
	stats.tls.Add(1)
	h.call(func(now time.Time, o *Output) { h.session.TLSDone(now, h.c.TLS(), o) })
}

func (h *conn) Closed(error) {
	h.gone = true
	h.session.End()
	h.session.l.srv.open.Leave()
}

// submit hands a message to the queue. The answer may come on any goroutine, and even before Submit
// returns.
func (h *conn) submit(o *Output) {
	if h.committed == nil {
		h.settled = h.settle
		h.committed = func(id mail.ID, f *smtp.Failure) {
			h.id, h.failure = id, f
			h.c.Post(h.settled)
		}
	}
	h.session.l.srv.Submitter.Submit(o.Envelope, o.Content, h.committed)
}

// settle gives the queue's answer to the session, which hears of it even when the client has gone:
// the message was accepted.
func (h *conn) settle() {
	h.call(func(now time.Time, o *Output) { h.session.Committed(now, h.id, h.failure, o) })
	h.c.Resume() // with what the client sent meanwhile
}

func (h *conn) authenticate(login Login) {
	h.session.l.srv.Authenticator.Plain(&h.session.client, login.Authzid, login.User,
		login.Password, func(u *User, f *smtp.Failure) {
			h.c.Post(func() {
				if !h.gone {
					h.call(func(now time.Time, o *Output) { h.session.Authenticated(now, u, f, o) })
					h.c.Resume()
				}
			})
		})
}

func (h *conn) shutdown() { h.call(h.session.Shutdown) }

// end cuts a session short when a shutdown takes too long.
func (h *conn) end() {
	h.c.Write(smtp.AppendFailure(nil, errShutdown))
	h.c.Close()
}
