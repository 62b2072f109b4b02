// Package delivery takes accepted mail to its next hop: it decides which recipients are tried when, over which
// connection, and what their outcome means. The Scheduler is the heart; delivery/mx finds the next hop's addresses and
// delivery/smtpclient speaks to one.
//
// This file holds what delivery needs of others.
package delivery

import (
	"context"
	"io"
	"net/netip"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue"
)

// Queue is what delivery needs of the queue. Safe for use by several goroutines.
type Queue interface {
	// Domains returns up to max domains above after, in order, that have rows in the schedule.
	Domains(after string, max int) ([]DomainDue, error)
	// Due returns up to max items of one domain that are due at until, in order of (due, ID), from those after the cursor.
	Due(domain string, after Cursor, until time.Time, max int) ([]queue.Item, error)
	// OpenContent returns a message's content; the caller closes it.
	OpenContent(m *queue.Message) (io.ReadCloser, error)
	// Settle records outcomes; done is called once, on any goroutine, when they are on stable storage or cannot be.
	Settle(outcomes []queue.Outcome, done func(error))
}

// DomainDue is a domain in the schedule and the time of its earliest row.
type DomainDue struct {
	Domain string
	Due    time.Time
}

// Cursor is a place in a domain's schedule; the zero Cursor is before all.
type Cursor struct {
	Due time.Time
	ID  mail.ID
}

// Resolver finds the hosts of a domain (RFC 5321 5.1). Safe for use by several goroutines.
type Resolver interface {
	// MX returns the hosts that take a domain's mail, best first, with their addresses. A failure says whether it is temporary.
	MX(ctx context.Context, domain string) (*Hosts, *smtp.Failure)
	// Host returns the addresses of one host, for smart hosts.
	Host(ctx context.Context, name string) (*Hosts, *smtp.Failure)
}

// Hosts are where one next hop can be reached.
type Hosts struct {
	// Site names the set of hosts: domains with the same MX set have the same site.
	Site    string
	Hosts   []Host
	Expires time.Time
}

// Host is one host with its addresses, in the order in which they are to be tried.
type Host struct {
	Name  string
	Addrs []netip.Addr
}

// Target is one address to connect to.
type Target struct {
	Host     string
	Addr     netip.AddrPort
	TLS      TLSMode
	Username string
	Password string
}

// Dialer opens outgoing SMTP connections. Safe for use by several goroutines.
type Dialer interface {
	// Dial connects, reads the greeting, says EHLO, starts TLS and authenticates as the target asks.
	Dial(ctx context.Context, t Target) (Conn, *smtp.Failure)
}

// Conn is one outgoing SMTP connection, used by one goroutine.
type Conn interface {
	// Send makes one mail transaction.
	Send(ctx context.Context, t *Transaction) Result
	// Local and TLS describe the connection for logs.
	Local() netip.Addr
	TLS() string
	// Quit says QUIT and closes; Close closes at once and may be called by another goroutine.
	Quit()
	Close()
}

// Transaction is one message for some recipients at one site.
type Transaction struct {
	Envelope   *mail.Envelope
	Size       int64
	Recipients []uint32 // places in Envelope.Recipients
	Content    []byte   // whole content in memory, or
	Open       func() (io.ReadCloser, error)
	// Owner is asked last before the end of data is sent; false ends the transaction without it (architecture.md, promise 2).
	Owner func() bool
}

// Result is what became of a Transaction.
type Result struct {
	// Replies has one entry per recipient of the transaction.
	Replies []Reply
	// Fault is set when the connection cannot be used again: closed by the peer, 421, a deadline.
	Fault *smtp.Failure
	// Lost: the end of data was sent and its reply never came; the peer may have taken the message.
	Lost bool
}

// Reply is the peer's last word on one recipient, or our own finding.
type Reply struct {
	Code     int // SMTP reply code; 0 when we found out ourselves
	Enhanced string
	Text     string
	Command  string // what it answered: MAIL, RCPT, DATA, end of data
}
