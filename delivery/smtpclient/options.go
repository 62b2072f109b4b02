package smtpclient

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"time"
)

// TLSMode says what STARTTLS (RFC 3207) must do for a connection.
type TLSMode uint8

const (
	// Opportunistic uses TLS when the peer offers it and does not check the certificate. A
	// handshake that fails ends the connection with Error.TLS set: whether to try again in clear is
	// the caller's decision.
	Opportunistic TLSMode = iota
	// Require ends the connection unless TLS was started and the certificate is valid for
	// ServerName.
	Require
	// Off never asks for TLS.
	Off
)

// Options describe one outgoing connection. Read-only while a Dial uses it; may be shared.
type Options struct {
	Addr   netip.AddrPort // the peer
	Socket string         // the peer's unix socket; then Addr does not count
	Source netip.Addr     // local address to send from; zero: the system chooses
	Hello  string         // our name in EHLO and HELO

	// LMTP speaks RFC 2033 instead: LHLO, and after the content one reply for each recipient that
	// was accepted.
	LMTP bool

	TLS TLSMode
	// FellBack says that TLS was tried before and did not work, so that the dialogue is in clear. A
	// peer that asks for TLS then (530, RFC 3207 4) may have it working the next time.
	FellBack bool
	// base configuration (roots, session cache); nil: Go's defaults. Never changed.
	TLSConfig *tls.Config
	// the peer's host name: SNI, and the certificate's name when TLS is Require
	ServerName string

	// Username, when set, asks for AUTH (PLAIN, else LOGIN) before any mail. Credentials are sent
	// under TLS only, unless AuthInClear says that the path is safe.
	Username, Password string
	AuthInClear        bool

	// Send8Bit sends 8-bit content to a peer without 8BITMIME as it is, against RFC 6152 section 3;
	// false: such a transaction fails with 5.6.3.
	Send8Bit bool

	Timeouts Timeouts
	MaxReply int // octets of one reply, all its lines; 0: DefaultMaxReply

	// Dial opens the transport; nil: TCP from Source.
	Dial func(ctx context.Context, addr netip.AddrPort) (net.Conn, error)
}

// DefaultMaxReply bounds one reply. RFC 5321 4.5.3.1.5 allows 512 octets a line.
const DefaultMaxReply = 64 << 10

// Timeouts are those of RFC 5321 4.5.3.2; a zero field means its default. Each bounds one reply as
// a whole, so that a peer that drips octets gains nothing by it. They are kept to within a quarter
// more, never less.
type Timeouts struct {
	Connect   time.Duration // TCP connect, 30 s
	Greeting  time.Duration // 5 min (4.5.3.2.1)
	Hello     time.Duration // EHLO and HELO, 5 min
	TLS       time.Duration // handshake, 1 min
	Auth      time.Duration // each AUTH step, 1 min
	Mail      time.Duration // 5 min (4.5.3.2.2)
	Rcpt      time.Duration // 5 min (4.5.3.2.3)
	DataStart time.Duration // the reply to DATA, 2 min (4.5.3.2.4)
	DataBlock time.Duration // the writing of each block of content, 3 min (4.5.3.2.5)
	DataEnd   time.Duration // the reply to the end of mail data, 10 min (4.5.3.2.6)
	Reset     time.Duration // RSET, 1 min
	Quit      time.Duration // QUIT, 5 s: nothing hangs on it
}

func (t Timeouts) withDefaults() Timeouts {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&t.Connect, 30*time.Second)
	set(&t.Greeting, 5*time.Minute)
	set(&t.Hello, 5*time.Minute)
	set(&t.TLS, time.Minute)
	set(&t.Auth, time.Minute)
	set(&t.Mail, 5*time.Minute)
	set(&t.Rcpt, 5*time.Minute)
	set(&t.DataStart, 2*time.Minute)
	set(&t.DataBlock, 3*time.Minute)
	set(&t.DataEnd, 10*time.Minute)
	set(&t.Reset, time.Minute)
	set(&t.Quit, 5*time.Second)
	return t
}
