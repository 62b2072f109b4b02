// Package smtpclient is the client side of one SMTP connection (RFC 5321): greeting, EHLO, STARTTLS, AUTH, then mail
// transactions one after the other. It blocks; every wait has a deadline. Policy (which host, how many
// connections, when again) is the caller's.
package smtpclient

import (
	"context"
	"errors"
	"net/netip"
)

// Conn is one outgoing connection after its greeting and EHLO. Used by one goroutine, except Abort.
type Conn struct{}

// Offers is what the peer's EHLO reply offered.
type Offers struct {
	ESMTP               bool
	Pipelining          bool // RFC 2920
	EightBitMIME        bool // RFC 6152
	SMTPUTF8            bool // RFC 6531
	DSN                 bool // RFC 3461: without it the caller reports "relayed" where success was asked for
	Chunking            bool // RFC 3030
	BinaryMIME          bool
	StartTLS            bool
	EnhancedStatusCodes bool
	Size                bool  // RFC 1870
	MaxSize             int64 // 0: no limit known
	AuthPlain           bool
	AuthLogin           bool
	RcptMax             int // LIMITS (RFC 9422); 0: none given
	MailMax             int
}

var errNotYet = errors.New("smtpclient: first API, not yet implemented")

// Dial connects and gets ready for mail. The error says at which step it failed. ctx bounds the whole of it.
func Dial(ctx context.Context, o *Options) (*Conn, *Error) {
	return nil, &Error{Status: Status{Code: 451, Enhanced: "4.3.0", Text: "not yet", Local: true}, Cause: errNotYet}
}

// Deliver sends one message. It does not fail: what went wrong is in the recipients' statuses.
func (c *Conn) Deliver(tx *Transaction) Result { return Result{} }

// Usable reports whether another transaction may be tried on the connection. It costs nothing.
func (c *Conn) Usable() bool { return false }

// Alive asks the kernel, too, whether the peer has closed or spoken (421) since the last transaction: for a connection that
// was idle for a while. It does not block.
func (c *Conn) Alive() bool { return false }

// Offers returns what the peer offered.
func (c *Conn) Offers() *Offers { return nil }

// TLS describes the protection as log lines do ("TLSv1.3 TLS_AES_128_GCM_SHA256"), "" in clear.
func (c *Conn) TLS() string { return "" }

// Remote and Local are the connection's ends.
func (c *Conn) Remote() netip.AddrPort { return netip.AddrPort{} }
func (c *Conn) Local() netip.AddrPort  { return netip.AddrPort{} }

// Transactions counts the transactions tried on the connection.
func (c *Conn) Transactions() int { return 0 }

// Quit says QUIT, waits briefly for the reply and closes.
func (c *Conn) Quit() {}

// Abort closes at once; what is under way fails. May be called by any goroutine.
func (c *Conn) Abort() {}
