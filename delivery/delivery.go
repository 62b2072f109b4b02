// Package delivery takes accepted mail to its next hop: it decides which recipients are tried when,
// over which connection, and what their outcome means. The Scheduler is its heart (DESIGN.md);
// delivery/mx finds the hosts of a domain and delivery/smtpclient speaks to one of them.
//
// This file holds what delivery needs of others.
package delivery

import (
	"context"
	"io"
	"net/netip"
	"time"

	"github.com/postroad/postroad/delivery/mx"
	"github.com/postroad/postroad/delivery/smtpclient"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue"
)

// Queue is what delivery needs of the queue; FromQueue makes a *queue.Queue one. Safe for use by
// several goroutines.
type Queue interface {
	// Domains returns up to max domains above after, in order, that have rows in the schedule.
	Domains(after string, max int) ([]queue.DomainDue, error)
	// Due returns up to max items of one domain that are due at until, in order, from those after
	// the cursor, and the last one's cursor.
	Due(domain string, after queue.Cursor, until time.Time,
		max int) ([]queue.Item, queue.Cursor, error)
	// Content opens a message's content; the caller closes it.
	Content(m *queue.Message) (io.ReadCloser, error)
	// Settle records outcomes; done is called once, on any goroutine. false: start no attempt
	// before SettleRoom returned.
	Settle(outcomes []queue.Outcome, done func(error)) (room bool)
	SettleRoom(ctx context.Context) error
	// SettleMessage is Settle for outcomes of one message. Failures may wait a moment for those of
	// its other recipients, to be reported together.
	SettleMessage(m *queue.Message, outcomes []queue.Outcome, done func(error)) (room bool)
	// Remember takes outcomes that come after the end of the term. None is recorded before this
	// member owns the queue again.
	Remember(outcomes []queue.Outcome)
	// Load and ScanArrived serve the scans for expiry and delay warnings.
	Load(id mail.ID) (*queue.Stored, error)
	ScanArrived(after mail.ID, before time.Time, fn func(*queue.Stored) bool) error
}

// FromQueue makes a queue the scheduler's, and the reporter's (package report).
func FromQueue(q *queue.Queue) StoredQueue { return StoredQueue{q} }

// StoredQueue is a Queue.
type StoredQueue struct{ *queue.Queue }

// Content implements Queue.
func (q StoredQueue) Content(m *queue.Message) (io.ReadCloser, error) {
	return q.OpenContent(m), nil
}

// Resolver finds the hosts of a domain (RFC 5321 5.1) or of a smart host. *mx.Resolver is one. Safe
// for use by several goroutines.
type Resolver interface {
	Lookup(ctx context.Context, domain string) (*mx.Route, *smtp.Failure)
	LookupHost(ctx context.Context, host string) (*mx.Route, *smtp.Failure)
	// Cached and CachedHost answer from memory, or not at all. They do not block.
	Cached(domain string) (*mx.Route, *smtp.Failure, bool)
	CachedHost(host string) (*mx.Route, *smtp.Failure, bool)
}

// Dialer opens one outgoing connection and gets it ready for mail.
type Dialer func(ctx context.Context, o *smtpclient.Options) (Conn, *smtpclient.Error)

// DialSMTP is the Dialer of real life.
func DialSMTP(ctx context.Context, o *smtpclient.Options) (Conn, *smtpclient.Error) {
	c, err := smtpclient.Dial(ctx, o)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Conn is one outgoing connection. *smtpclient.Conn is one. Used by one goroutine, except Abort.
type Conn interface {
	Deliver(tx *smtpclient.Transaction) smtpclient.Result
	Usable() bool
	Alive() bool
	Offers() *smtpclient.Offers
	TLS() string
	Remote() netip.AddrPort
	Local() netip.AddrPort
	Quit()
	Abort()
}
