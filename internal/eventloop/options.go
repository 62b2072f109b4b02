package eventloop

import (
	"crypto/tls"
	"errors"
	"net/netip"
	"time"
)

// Options of an Engine. The zero value of a field means its default.
type Options struct {
	Loops int // event loops; default: half of GOMAXPROCS, at least 1
	// open connections; default and upper bound: what RLIMIT_NOFILE allows after ReserveFiles
	MaxConnections int
	// descriptors left to the rest of the process (stores, outgoing connections); default: a
	// quarter of the limit
	ReserveFiles int
	// octets received and not yet consumed, per connection, above which reading pauses; default 64
	// KiB
	InboundLimit int
	// octets written and not yet taken by the socket, per connection, above which it is aborted;
	// default 1 MiB
	OutboundLimit int
	// TLS handshakes in progress, of one client network an eighth of it; the others wait, and those
	// whose peer has been silent for longest give way to them; default 512
	Handshakes     int
	HandshakeLimit time.Duration // time for a TLS handshake, waiting included; default 10 s
	// connections on a loop from which on what callbacks write goes out together, after all that
	// were ready; default: never
	Gather int
	// time for the peer to take what was written before Close; default 10 s
	Linger time.Duration
	Logf   func(format string, args ...any)

	tick      time.Duration // resolution of deadlines; 100 ms but in tests
	grace     time.Duration // that a silent handshake has for itself; stallGrace but in tests
	roomGrace time.Duration // the same of a connection; roomGrace but in tests
}

// ListenerOptions say what becomes of the connections of one listener.
type ListenerOptions struct {
	// TLS, when set, makes every connection begin with a handshake. It is asked once per
	// connection.
	TLS func() *tls.Config
	// Full is sent to a connection over MaxConnections before it is closed. On a listener with TLS
	// nothing is sent, nor should there be words of Admit.
	Full []byte
	// Admit is asked about a connection before anything is spent on it, on a goroutine that
	// accepts; it must not block. One that is not admitted is sent the words, unless there are
	// none, and closed. nil: all are admitted.
	Admit func(peer netip.Addr) (words []byte, ok bool)
	// Lost takes an admission back: no loop has taken the connection, and New was not called.
	// Required with Admit.
	Lost func(peer netip.Addr)
	// Crowded is told, for each new connection, that there are almost MaxConnections; a Room may be
	// what it needs. nil: nobody is.
	Crowded func()
	// New makes the handler of a new connection. It runs on the connection's loop. A nil Handler
	// closes the connection.
	New func(*Conn) Handler
}

// Handler is what a protocol does with one connection. All methods run on the connection's loop;
// none may block. A panic in one of them closes that connection only, and is logged and counted.
type Handler interface {
	// Open is called when the connection is ready for the first octet of the protocol.
	Open()
	// Data hands over what was received and not yet consumed, and returns how many octets of it are
	// consumed. The rest is kept and given again, in front of what comes next, or at once on
	// Resume. A handler that leaves more than InboundLimit is read nothing more for until Resume;
	// the peer is made to wait. p is valid during the call only, and its octets may be changed in
	// place.
	Data(p []byte) (n int)
	// Timeout is called when the deadline has passed; it is then no longer set.
	Timeout()
	// Drained is called when everything that was written has gone to the socket.
	Drained()
	// TLSDone is called at the end of a handshake. After an error the connection is closed without
	// the handler's doing.
	TLSDone(err error)
	// Closed is the last callback. err is nil after Close, ErrAborted after Abort, io.EOF when the
	// peer ended the connection, else the reason.
	Closed(err error)
}

// Reasons why the engine ended a connection, as Handler.Closed gets them (wrapped where there is
// more to say).
var (
	ErrAborted          = errors.New("connection aborted")
	ErrOutboundLimit    = errors.New("peer does not read: outbound limit exceeded")
	ErrInboundLimit     = errors.New("inbound limit exceeded")
	ErrInjection        = errors.New("octets in clear text after the command that starts TLS")
	ErrHandshakeTimeout = errors.New("TLS handshake took too long")
	ErrPanic            = errors.New("handler panicked")
	ErrFull             = errors.New("no room for a further connection")
	ErrStopped          = errors.New("event loop engine stopped")
)

// Stats are totals since the start of an Engine, for metrics.
type Stats struct {
	Accepted          uint64 // connections of a listener handed to a loop
	Dialled           uint64 // outgoing connections handed to a loop
	Refused           uint64 // connections over MaxConnections, and those not admitted
	AcceptErrors      uint64 // failed accepts, a lack of descriptors among them
	Handshakes        uint64 // TLS handshakes that succeeded
	HandshakeFailures uint64
	Overflows         uint64 // connections aborted because of the outbound or inbound limit
	Panics            uint64 // recovered panics of handlers
	// times that a loop was stuck in one callback for more than ten seconds
	Stalls uint64
}
