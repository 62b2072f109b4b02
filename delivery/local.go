package delivery

import (
	"io"

	"github.com/postroad/postroad/delivery/mx"
	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue"
)

// Mail for mailboxes of our own. It goes the same way as any other mail: a local domain is a
// destination, all of them hang at one site, and a connection of that site is a place in the
// store's doorway (localconn.go). So windows, fairness, limits, rates, suspensions, retry and
// reports are the same.

// LocalStore is where mail for mailboxes goes. Safe for use by several goroutines.
//
// A message is stored under a key, its ID and the recipient's number, and not a second time under
// the same key until Settled was called. So a delivery whose outcome is not known is tried again
// without harm.
type LocalStore interface {
	// Deliver puts one message into the mailboxes of some of its recipients. It does not block.
	// done is called once, on any goroutine, with nil or a failure for each recipient, in their
	// order: 5.x.x fails it, 4.3.0 and 4.3.2 are the store's own trouble and are tried again soon,
	// another 4.x.x by the schedule. Until then m and what it refers to do not change.
	Deliver(m *LocalMessage, done func([]*smtp.Failure))
	// Settled says that the queue has recorded what finally became of these recipients: their keys
	// will not come again. It does not block; recipients is valid during the call. When the node
	// stops first it is never called.
	Settled(m *queue.Message, recipients []uint32)
}

// LocalMessage is one message on its way into mailboxes.
type LocalMessage struct {
	Message    *queue.Message
	Recipients []LocalRecipient
	Content    []byte // all of it, or nil: then
	// gives it; it may be called more than once, by several goroutines
	Open func() (io.ReadCloser, error)
}

// LocalRecipient is one recipient of a LocalMessage.
type LocalRecipient struct {
	Number  uint32 // place in the envelope
	Address string // as the envelope has it
	// lines that go in front of the content in this mailbox: Return-Path and Delivered-To
	Prefix []byte
}

// LocalSite is the name of the local site in logs, suspensions and shaping.
const LocalSite = shaping.Local

// localKey is the local site's key. No set of hosts has it.
const localKey = LocalSite + "\x00"

// home is what a local domain resolves to.
var home = &mx.Route{Site: LocalSite}

// isLocal reports whether a domain's mail stays here unless its route says a domain or a recipient.
// That may change at any time, so it decides where a destination leads and not which destination a
// message has.
func (c *core) isLocal(domain string) bool { return c.o.Local != nil && c.o.Local(domain) }

// storeTrouble reports whether a failure is the store's own, for the moment (RFC 3463 3.4).
func storeTrouble(enhanced string) bool { return enhanced == "4.3.0" || enhanced == "4.3.2" }

// appendPrefix appends the lines that final delivery adds: the reverse-path (RFC 5321 4.4), and who
// this copy is for, by which a loop is known.
func appendPrefix(b []byte, sender, address string) []byte {
	b = append(append(append(b, "Return-Path: <"...), sender...), ">\r\n"...)
	return append(append(append(b, "Delivered-To: "...), address...), "\r\n"...)
}

// errLoop is for a recipient whose mailbox the message has been in.
var errLoop = smtp.Perm(554, "5.4.6",
	"Mail forwarding loop: the message has been delivered to this mailbox before")
