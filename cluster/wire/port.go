package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/postroad/postroad/cluster/token"
)

const (
	handshakeTime = 10 * time.Second // from the first octet to the answer, on both sides
	joinTime      = time.Minute      // of a join, after the proofs
	// that a token which is not known may take to arrive from the other members
	tokenTime      = 2 * time.Second
	maxPerMember   = 512             // connections, in and out
	maxJoins       = 8               // under way
	strangersGrace = time.Second     // that an inbound connection surely gets to show who it is
	silenceTime    = 3 * time.Second // to the first octet: who dials speaks first
)

// Inbound connections that have not shown who they are, from anywhere and from members' addresses.
var (
	maxStrangers = bounds{all: 256, perAddress: 64}
	maxUnproven  = bounds{all: 1024, perAddress: maxPerMember}
)

// DialFunc makes a TCP connection; net.Dialer's DialContext is one.
type DialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// Options of a Port. The functions are called from many goroutines and, except Join and Dial, must
// not block.
type Options struct {
	// Listener, when set, is served from the beginning. Without, New listens nowhere until Serve.
	Listener net.Listener
	// Credentials are this member's; Self must be who they name.
	Credentials Credentials
	Self        Identity
	// Address says where a member is dialled; false: it is not known.
	Address func(member uint16) (hostport string, ok bool)
	// Admit judges the peer of each authenticated connection, in and out. The peer's operator reads
	// its error; Final says that it need not come again. nil: all members of the cluster.
	// key names the public key that it showed (Credentials.PublicKey).
	Admit func(id Identity, key string) error
	// Join answers a new node that proved that it knows a token. It has a minute. nil: joins are
	// refused.
	Join func(context.Context, JoinRequest) (JoinReply, error)
	// Standing answers a node that proved that it knows a token, and asks whether this one knows a
	// cluster. nil: it knows its own.
	Standing func() Standing
	// Claimed judges what a member of another cluster claims of this node; nil: it is believed. Its
	// error is told. nil: no claim is.
	Claimed func(Claim) error
	// Secrets returns the join tokens that are valid now and kept as they are, Verifiers what all
	// others can be checked by. nil: none.
	Secrets   func() []string
	Verifiers func() []token.Verifier
	// Refuses says why the token of a request (JoinRequest.With) is not for its node. nil: each is.
	Refuses func(JoinRequest) error
	// Dial makes outbound connections. nil: a net.Dialer's.
	Dial DialFunc
	// Logf hears of connections that were refused, at most once a second. nil: nobody does.
	Logf func(string, ...any)

	handshakeTime, tokenTime time.Duration // tests have less of it
	inbound                  []string      // ALPN; a test has that of an older program
}

func (o Options) withDefaults() Options {
	if o.Address == nil {
		o.Address = func(uint16) (string, bool) { return "", false }
	}
	if o.Admit == nil {
		o.Admit = func(Identity, string) error { return nil }
	}
	if o.Standing == nil {
		o.Standing = func() Standing { return Standing{Cluster: o.Self.Cluster} }
	}
	if o.Secrets == nil {
		o.Secrets = func() []string { return nil }
	}
	if o.Verifiers == nil {
		o.Verifiers = func() []token.Verifier { return nil }
	}
	if o.Refuses == nil {
		o.Refuses = func(JoinRequest) error { return nil }
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	if o.inbound == nil {
		o.inbound = []string{protocolTokens, protocol, protocolClaim}
	}
	if o.handshakeTime == 0 {
		o.handshakeTime = handshakeTime
	}
	if o.tokenTime == 0 {
		o.tokenTime = tokenTime
	}
	return o
}

// Port is this node's end of all connections with the other nodes. Its methods are safe for use by
// several goroutines.
type Port struct {
	opts      Options
	cert      tls.Certificate
	roots     *x509.CertPool
	inbound   *tls.Config
	ctx       context.Context // ends with Close
	cancel    context.CancelFunc
	strangers *gate
	refused   restraint
	joins     chan struct{} // one for each join under way
	http      *backlog
	client    *http.Client
	grumble   limiter
	work      sync.WaitGroup // accept loops, handshakes, dials

	mu struct {
		sync.Mutex
		closed    bool
		listeners map[net.Listener]struct{}
		conns     map[*conn]struct{} // all authenticated ones
		members   map[uint16]int     // how many of conns each has
		streams   map[uint64]*Stream
	}
}

// New checks the credentials and makes a port, which serves Options.Listener if that is set.
func New(opts Options) (*Port, error) {
	opts = opts.withDefaults()
	cert, roots, err := opts.Credentials.parse()
	if err != nil {
		return nil, err
	}
	self, err := opts.Credentials.Identity()
	if err != nil {
		return nil, err
	}
	if self != opts.Self {
		return nil, fmt.Errorf(
			"the certificate is of %v, but this node is %v: it belongs to another data directory",
			self, opts.Self)
	}
	p := &Port{opts: opts, cert: cert, roots: roots, joins: make(chan struct{}, maxJoins)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.strangers = newGate(maxStrangers, maxUnproven, strangersGrace)
	p.inbound = p.inboundConfig()
	p.http = newBacklog(maxWaitingHTTP, memberAddr(self.Member))
	p.client = p.newClient()
	p.mu.listeners, p.mu.conns = map[net.Listener]struct{}{}, map[*conn]struct{}{}
	p.mu.members, p.mu.streams = map[uint16]int{}, map[uint64]*Stream{}
	if opts.Listener != nil {
		p.Serve(opts.Listener)
	}
	return p, nil
}

var errClosed = fmt.Errorf("the cluster port is closed: %w", net.ErrClosed)

// begin counts a piece of work that Close waits for. It is over with p.work.Done; false: the port
// is closed.
func (p *Port) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.closed {
		return false
	}
	p.work.Add(1)
	return true
}

// Close ends everything: listeners, connections, streams, the client. It returns when no goroutine
// of the port is left; it waits for calls of Options.Join, whose context has ended.
func (p *Port) Close() error {
	p.mu.Lock()
	again := p.mu.closed
	p.mu.closed = true
	var errs []error
	for l := range p.mu.listeners {
		errs = append(errs, l.Close())
	}
	clear(p.mu.listeners)
	conns, streams := p.mu.conns, p.mu.streams
	p.mu.conns, p.mu.streams = map[*conn]struct{}{}, map[uint64]*Stream{}
	p.mu.Unlock()

	p.cancel()
	for c := range conns {
		c.NetConn().Close()
	}
	for _, s := range streams {
		s.waiting.close()
	}
	p.http.close()
	p.client.CloseIdleConnections()
	p.work.Wait()
	if again {
		return nil
	}
	return errors.Join(errs...)
}

// Recheck asks Admit about the peers of all connections and closes those that it no longer admits.
// Refusals of before are forgotten. It is for when the list of members has changed.
func (p *Port) Recheck() {
	p.refused.clear()
	p.mu.Lock()
	conns := make([]*conn, 0, len(p.mu.conns))
	for c := range p.mu.conns {
		conns = append(conns, c)
	}
	p.mu.Unlock()
	for _, c := range conns {
		if p.opts.Admit(c.peer, c.key) != nil {
			c.Close()
		}
	}
}
