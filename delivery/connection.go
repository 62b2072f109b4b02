package delivery

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/postroad/postroad/delivery/mx"
	"github.com/postroad/postroad/delivery/smtpclient"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
)

// shellConn is what a connection's goroutine keeps from one transaction to the next.
type shellConn struct {
	client  Conn
	local   *localConn    // client, when it is one
	host    string        // name of the peer
	opening time.Duration // how long it took to open
	tx      smtpclient.Transaction
	to      []mail.Recipient
	results []smtpclient.Status
	buf     []byte // content read from disk
	record  maillog.Record
	verdict verdict
	ending  atomic.Bool // the end of data is being sent, or its reply awaited
}

// runConn is the goroutine of one outgoing connection: it opens it, makes transactions as long as
// the core has some, and closes it.
func (s *Scheduler) runConn(cn *conn) {
	why, ours := s.open(cn)
	now := s.lock()
	if cn.shell.client == nil {
		s.mu.core.connectFailed(cn, why, ours, now)
		s.unlock(now)
		return
	}
	s.mu.conns[cn] = cn.shell.client
	cn.shell.opening = now.Sub(cn.opened)
	s.mu.core.connected(cn, now)
	state := cn.state
	s.unlock(now)
	for s.await(cn, state) {
		state = s.attempt(cn)
	}
	cn.shell.client.Quit()
	s.o.Budget.Release(int64(cap(cn.shell.buf)))
	now = s.lock()
	delete(s.mu.conns, cn)
	s.mu.core.closed(cn)
	s.unlock(now)
}

// surelyAlive is how long after a transaction a connection is used again without a look at the
// socket, which is a system call for each message under light load. If the peer has closed it after
// all, the transaction is tried again at once on another connection (smtpclient.Result.Retry).
const surelyAlive = time.Second

// await waits until the core has a transaction for cn, which it left in state; false: close it.
func (s *Scheduler) await(cn *conn, state connState) bool {
	if state != connIdle {
		return state == connBusy
	}
	<-cn.wake // from now on cn is ours again
	if cn.tx == nil {
		return false
	}
	if cn.tx.started.Sub(cn.idleSince) < surelyAlive || cn.shell.client.Alive() {
		return true
	}
	now := s.lock() // closed by the peer meanwhile: another connection will do
	s.mu.core.finished(cn, cn.tx, &verdict{none: true}, now)
	s.unlock(now)
	return false
}

// open connects to one of the site's hosts, trying several if need be. It says what was wrong with
// the last, and whether the fault is ours.
func (s *Scheduler) open(cn *conn) (why mail.Attempt, ours bool) {
	if cn.site.local {
		cn.shell.local = newLocalConn(s.o.Store)
		cn.shell.client, cn.shell.host = cn.shell.local, LocalSite
		return why, false
	}
	hop := &cn.hop
	targets := avoiding(cn.avoid, cn.hosts.Targets(cn.set.Addresses))
	if hop.socket != "" {
		targets = []mx.Target{{Name: hop.socket}}
	}
	for _, target := range targets {
		client, o, err := s.dialHost(cn, target)
		if err == nil {
			cn.shell.client, cn.shell.host = client, target.Name
			return why, false
		}
		why = mail.Attempt{
			At: s.o.Now(), Remote: target.Name, RemoteIP: o.Addr, LocalIP: o.Source,
			Code: err.Reply, Enhanced: err.Enhanced, Text: err.Text,
		}
		ours = isOurs(err.Cause)
		if cn.set.way.ctx.Err() != nil {
			return why, true
		}
	}
	if why.At.IsZero() {
		why = mail.Attempt{At: s.o.Now(), Enhanced: "4.4.4", Text: "no address to connect to"}
	}
	return why, ours
}

// dialHost opens a connection to one host of a site, and says with which options.
func (s *Scheduler) dialHost(
	cn *conn, target mx.Target,
) (Conn, *smtpclient.Options, *smtpclient.Error) {
	o, hop := s.o.Client, &cn.hop
	o.Hello = cn.set.Hello
	o.ServerName, o.Socket, o.LMTP = target.Name, hop.socket, hop.lmtp
	o.TLS, o.Username, o.Password = hop.tls, hop.user, hop.password
	if target.Addr.IsValid() {
		o.Addr, o.Source = netip.AddrPortFrom(target.Addr, hop.port), s.source(cn, target.Addr)
	}
	ctx := cn.set.way.ctx
	client, err := s.dial(ctx, &o)
	if err != nil && err.TLS && o.TLS == smtpclient.Opportunistic {
		// a broken STARTTLS is no worse than none (RFC 7435 section 3)
		o.TLS, o.FellBack = smtpclient.Off, true
		client, err = s.dial(ctx, &o)
	}
	return client, &o, err
}

// isOurs reports whether a connection failed for want of something on this machine.
func isOurs(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
		syscall.EADDRNOTAVAIL, context.Canceled} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// source returns the address to send from to a peer: the configured ones in turn; zero: the system
// chooses.
func (s *Scheduler) source(cn *conn, peer netip.Addr) netip.Addr {
	n := len(cn.set.Sources)
	if n == 0 {
		return netip.Addr{}
	}
	start := int(s.turn.Add(1))
	for i := range n {
		if a := cn.set.Sources[(start+i)%n]; a.Is4() == peer.Unmap().Is4() {
			return a
		}
	}
	return netip.Addr{}
}

// smallContent is read into memory in one piece when it comes from disk.
const smallContent = 64 << 10

// prepare makes the client's transaction of ours.
func (s *Scheduler) prepare(cn *conn, t *transaction) *smtpclient.Transaction {
	env, sh := t.message.Envelope, &cn.shell
	if sh.local != nil {
		sh.local.t, t.local = t, true
	}
	t.final = t.local || cn.hop.lmtp && !sh.client.Offers().DSN
	if sh.tx.Recipients = env.Recipients; len(env.Recipients) > 1 {
		sh.to = sh.to[:0]
		for _, n := range t.recipients {
			sh.to = append(sh.to, env.Recipients[n])
		}
		sh.tx.Recipients = sh.to
	}
	sh.tx.Sender, sh.tx.Body, sh.tx.SMTPUTF8 = env.Sender, env.Body, env.SMTPUTF8
	sh.tx.Ret, sh.tx.EnvelopeID = env.Ret, env.EnvelopeID
	sh.tx.Size, sh.tx.Content = t.message.Size, t.body
	sh.tx.Open = nil
	if t.body == nil {
		m := t.message // t may be another's before our own store reads
		sh.tx.Open = func() (io.ReadCloser, error) { return s.queue.Content(m) }
		sh.tx.Content = s.readSmall(cn, t)
	}
	if cap(sh.results) < len(t.recipients) {
		sh.results = make([]smtpclient.Status, len(t.recipients))
	}
	sh.tx.Results = sh.results[:len(t.recipients)]
	if sh.tx.BeforeEnd == nil {
		sh.tx.BeforeEnd = func() error { return s.beforeEnd(cn) }
	}
	return &sh.tx
}

// readSmall reads a small content into the connection's buffer; nil: have it read as it is sent.
func (s *Scheduler) readSmall(cn *conn, t *transaction) []byte {
	n := int(t.message.Size)
	if n > smallContent {
		return nil
	}
	if b := &cn.shell.buf; cap(*b) < n {
		s.o.Budget.Release(int64(cap(*b)))
		*b = nil
		if !s.o.Budget.TryReserve(int64(n)) {
			return nil
		}
		*b = make([]byte, n)
	}
	r, err := s.queue.Content(t.message)
	if err != nil {
		return nil
	}
	defer r.Close()
	if _, err := io.ReadFull(r, cn.shell.buf[:n]); err != nil {
		return nil
	}
	return cn.shell.buf[:n]
}

var errNotOwner = errors.New("this node no longer owns the message")

// beforeEnd is the lease check before the end of data (architecture.md, promise 2). What it lets
// pass may be the copy that the peer takes.
func (s *Scheduler) beforeEnd(cn *conn) error {
	cn.shell.ending.Store(true)
	if s.abandoned.Load() || !s.o.owns() {
		cn.shell.ending.Store(false)
		return errNotOwner
	}
	return nil
}
