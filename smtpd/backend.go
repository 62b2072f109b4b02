package smtpd

import (
	"crypto/tls"
	"net/netip"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
)

// Kind is a listener's kind (interface.md).
type Kind uint8

const (
	Relay       Kind = iota // port 25
	Submission              // port 587: STARTTLS and AUTH required
	Submissions             // port 465: TLS from the first byte, AUTH required
	// RFC 2033: each recipient has its own reply after the data; no AUTH, for networks that one
	// trusts
	LMTP
)

// Submits reports whether the kind is for authenticated users.
func (k Kind) Submits() bool { return k == Submission || k == Submissions }

// Client is what the checks may know of a session's other side. Owned by the session; read-only to
// the checks.
type Client struct {
	Addr     netip.AddrPort // after a PROXY header
	Local    netip.AddrPort
	Kind     Kind
	Helo     string
	ESMTP    bool
	TLS      *tls.ConnectionState // nil in clear
	User     *User                // nil before AUTH succeeded
	Session  string               // session ID for logs
	Tenant   string               // of the listener, replaced by the user's
	Listener string
	// LoginDomain is the domain of log-in names without one, by the listener; "": none
	LoginDomain string
	// octets of the present transaction, as SIZE announced them (RFC 1870); 0: it did not
	Declared int64
}

// User is an authenticated user.
type User struct {
	Name   string // the log-in name, an address
	Tenant string
}

// Policy decides who may send what. Its methods are called on an event loop and must not block;
// they answer from memory. A nil failure means yes.
type Policy interface {
	// Connect is asked once per connection, before the greeting.
	Connect(c *Client) *smtp.Failure
	// Trusts reports whether the client is one of this site: it has logged in, or is in a network
	// that may relay.
	Trusts(c *Client) bool
	// Mail is asked at MAIL: may this client use this reverse-path ("" is the null reverse-path).
	Mail(c *Client, sender string) *smtp.Failure
	// Rcpt is asked at RCPT: relay rules and recipient existence. accepted is the number of
	// recipients so far. r.Domain is set; Rcpt may rewrite r (bare postmaster, RFC 5321 4.5.1).
	Rcpt(c *Client, sender string, r *mail.Recipient, accepted int) *smtp.Failure
	// Data is asked when the data begins: message and recipient rates per user.
	Data(c *Client, recipients int) *smtp.Failure
}

// Authenticator checks credentials. done may be called on any goroutine, before the call returns
// too. The session ends with a failure whose Close is set.
type Authenticator interface {
	// Plain checks a password (AUTH PLAIN, LOGIN). The work (a memory-hard hash) is done off the
	// event loop, by a bounded pool: when that is full the answer is 454 4.7.0.
	Plain(c *Client, authzid, user, password string, done func(*User, *smtp.Failure))
	// ScramSHA256 begins a SCRAM-SHA-256 exchange (RFC 5802, RFC 7677).
	ScramSHA256(c *Client) ScramExchange
}

// ScramExchange is one SCRAM conversation; its steps are cheap and run on the loop.
type ScramExchange interface {
	// Step takes a client message and returns the server's. After the final client message it
	// returns done with the user.
	Step(client []byte) (server []byte, user *User, done bool, f *smtp.Failure)
}

// Submitter takes accepted mail to the queue. Submit does not block; done is called once, on any
// goroutine, with the ID after the message is on stable storage on a majority, or with a failure to
// answer. It owns content from the call on.
type Submitter interface {
	Submit(env *mail.Envelope, content *mail.Content, done func(mail.ID, *smtp.Failure))
}
