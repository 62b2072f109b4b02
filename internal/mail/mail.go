// Package mail holds the values that cross Postroad's layers: the message's identity, its envelope,
// its content on the way in, and the budget of memory that all mail shares. It does no I/O of its
// own except to give back a spill file.
//
// A mail object is an envelope and a content (RFC 5321 2.3.1).
package mail

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/postroad/postroad/internal/smtp"
)

// BodyType is the BODY parameter of MAIL (RFC 6152, RFC 3030).
type BodyType uint8

const (
	Body7Bit BodyType = iota
	Body8BitMIME
	BodyBinaryMIME
)

// Notify is the NOTIFY parameter of RCPT (RFC 3461 4.1). Zero means that the parameter was absent,
// which asks for a report on failure and leaves delay to the server.
type Notify uint8

const (
	NotifySuccess Notify = 1 << iota
	NotifyFailure
	NotifyDelay
	NotifyNever

	// PassedToList and PassedOn mark a recipient whose mail went on in other messages, to a list's
	// members and to the several addresses of an alias: what is left is to tell the sender (RFC
	// 3461 5.2.7). No client says so.
	PassedToList Notify = 1 << 6
	PassedOn     Notify = 1 << 7
)

// Ret is the RET parameter of MAIL (RFC 3461 4.3).
type Ret uint8

const (
	RetUnset Ret = iota
	RetFull
	RetHeaders
)

// Envelope is what a mail transaction gathered before its data. It does not change once accepted.
type Envelope struct {
	// Sender is the reverse-path as the client gave it, without angle brackets; "" is the null
	// reverse-path.
	Sender     string
	Recipients []Recipient // in the order of RCPT; a recipient's number is its place here
	Body       BodyType
	SMTPUTF8   bool   // RFC 6531 3.4
	Ret        Ret    // RFC 3461 4.3
	EnvelopeID string // ENVID, decoded from xtext; "" when absent
	Origin     Origin
	// TraceContext is a W3C trace-id (16 octets) and span-id (8 octets) when the message is
	// sampled, else nil.
	TraceContext []byte
}

// Recipient is one forward-path of an envelope.
type Recipient struct {
	Address string // as the client gave it, without angle brackets
	// Domain is the routing domain: lower-case A-labels (IDNA), or an address literal in its
	// brackets.
	Domain string
	Notify Notify
	ORcpt  string // ORCPT, "addr-type;address" decoded from xtext; "" when absent
}

// Original is the mail address in ORCPT, when it is another than the recipient's: what the sender
// wrote to; else "".
func (r *Recipient) Original() string {
	kind, address, _ := strings.Cut(r.ORcpt, ";")
	// RFC 3461 9, RFC 6533 3
	if address == r.Address || !strings.EqualFold(kind, "rfc822") &&
		!strings.EqualFold(kind, "utf-8") {
		return ""
	}
	return address
}

// Origin says where a message came from.
type Origin struct {
	Client netip.AddrPort // the SMTP client, after a PROXY header
	Helo   string
	// SMTP, ESMTP, ESMTPS, ESMTPA, ESMTPSA, UTF8SMTP..., LMTP: the "with" of RFC 5321 4.4 and RFC
	// 3848
	Protocol string
	User     string // authenticated user, "" when none
	Tenant   string
	Campaign string
	Listener string // address of the listener
}

// Content is a mail's data on its way in: the chunks first, then the spill file. Trace header
// included, dot-stuffing removed. It is read once, by the queue's front, and then released.
type Content struct {
	Chunks [][]byte
	// nil unless the content is larger than the in-memory limit; then it holds all that follows
	// Chunks
	Spill *Spill
	Size  int64 // octets in all
	// IDAt is where IDLen octets hold the place of the message's ID, which the queue writes there:
	// in the Received field (RFC 5321 4.4). 0: nowhere.
	IDAt int64
	// MessageID is the value of its Message-ID field (RFC 5322 3.6.4), for the log.
	MessageID string
	// Watcher is who has read the content while it came; nil: nobody. The next step of intake that
	// knows it takes it out.
	Watcher Watcher
	// Observer, when set, hears that the message is stored.
	Observer Observer
	// Released, when set, is called once when the chunks are no longer referred to (they may be
	// pooled).
	Released func()
}

// Watcher reads a content while it arrives: all of it, in order, in pieces of any size, which it
// does not keep. It is asked on an event loop and must not block.
type Watcher interface {
	Write(p []byte) (int, error) // never fails
	// Release says that nobody wants what it has read.
	Release()
}

// Observer hears of one message that it is stored for good, under which ID, before anybody else
// does: what it logs of the acceptance stands before what is logged of the delivery. It may not
// block, is called on any goroutine, and at most once; not at all when the message was stored by
// another member's doing.
type Observer interface{ Stored(ID) }

// Release gives back the chunks and the spill file. It may be called once.
func (c *Content) Release() {
	if c.Spill != nil {
		c.Spill.Close()
		c.Spill = nil
	}
	if c.Watcher != nil {
		c.Watcher.Release()
		c.Watcher = nil
	}
	if c.Released != nil {
		c.Released()
		c.Released = nil
	}
	c.Chunks = nil
}

// DomainOf returns the domain part of an address, or "" (for postmaster without a domain and the
// null path).
func DomainOf(address string) string {
	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		return address[i+1:]
	}
	return ""
}

// Attempt describes one try to deliver to one recipient; it travels from the delivery worker to the
// queue's record, the log line and the report.
type Attempt struct {
	At       time.Time
	Remote   string         // the host that was tried, "" when there was none
	RemoteIP netip.AddrPort // zero when there was none
	LocalIP  netip.Addr
	TLS      string // protocol version and cipher, "" in clear
	// Response is the peer's reply or our own finding, as reported to the sender.
	Code     int    // the peer's reply code, as it gave it; 0 when it gave none: then Text is ours
	Enhanced string // enhanced status code, RFC 3463, of ours: always set
	Text     string // one line; smtp.Words makes the peer's words of it
}

// Answer returns what an attempt came to, on one line: the peer's words with their code, or ours.
func (a *Attempt) Answer() string {
	if a.Code == 0 {
		return a.Text
	}
	words := smtp.Words(a.Code, a.Enhanced, a.Text)
	return strings.TrimSpace(strconv.Itoa(a.Code) + " " + words)
}
