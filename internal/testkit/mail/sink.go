package mail

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/internal/eventloop"
)

// SinkOptions say what a Sink offers and does. The zero value offers everything but STARTTLS and
// accepts everything.
type SinkOptions struct {
	Addr    string      // where to listen; default "127.0.0.1:0"
	Host    string      // in the greeting and the answer to EHLO; default "sink.example"
	TLS     *tls.Config // offers STARTTLS
	Without []string    // of Keywords, not to offer
	Size    int64       // offered by SIZE and enforced; 0: no limit
	Loops   int         // event loops; default 1
	// Listeners, when set, are where to listen, in the place of Addr, Host, TLS and Without.
	Listeners []Listener
	// Hook, when set, is asked at each step and may answer in the place of the sink. It runs on an
	// event loop: it must not block.
	Hook func(*Step) Action
	// Accepted, when set, is told of each accepted transaction just before its 250 is written, on
	// its event loop: it must not block, and what it is given is valid during the call.
	Accepted func(*Delivery)
	// Left, when set, is told of each connection that has ended, on its event loop: it must not
	// block.
	Left func(session uint64)
	// Keep has the sink keep the content of what it accepts, for tests of a few messages.
	Keep bool
	// Count has the sink count deliveries and not keep them, for measurements.
	Count bool
}

// Listener is one address of a Sink.
type Listener struct {
	Addr    string
	Host    string
	TLS     *tls.Config
	Without []string
}

// Delivery is one accepted transaction.
type Delivery struct {
	ID         string // of the Marker field; "" when there is none
	Sender     string
	MailArgs   string // the parameters of MAIL, as sent
	Recipients []string
	RcptArgs   []string // the parameters of each RCPT, when one has any
	Sum        Sum      // of the octets received, from the Marker on
	Size       int64    // of all octets received
	TLS        bool
	Remote     netip.AddrPort // of the sender
	Session    uint64         // number of the connection
	Connected  time.Time      // when its connection was opened
	Started    time.Time      // when MAIL came
	Accepted   time.Time      // when the 250 was written
	Content    []byte         // with SinkOptions.Keep
}

// Sink is a receiving SMTP server. Its methods may be called on any goroutine.
type Sink struct {
	o      SinkOptions
	engine *eventloop.Engine
	ports  []*port

	hook     atomic.Pointer[func(*Step) Action]
	connects atomic.Uint64
	open     atomic.Int64
	mostOpen atomic.Int64
	accepted atomic.Uint64 // transactions
	octets   atomic.Uint64 // of accepted content

	mu struct {
		sync.Mutex
		deliveries []Delivery
		// closed and replaced when something was accepted and somebody waits
		arrived chan struct{}
	}
}

// port is one address at which the sink listens.
type port struct {
	Listener
	index int
	addr  string // with the port number that it got
	ehlo  string // keyword lines of the answer to EHLO
}

// StartSink starts a sink.
func StartSink(o SinkOptions) (*Sink, error) {
	if o.Listeners == nil {
		o.Listeners = []Listener{{o.Addr, o.Host, o.TLS, o.Without}}
	}
	setDefault(&o.Loops, 1)
	s := &Sink{o: o}
	s.SetHook(o.Hook)
	engine, err := eventloop.Start(eventloop.Options{Loops: o.Loops, OutboundLimit: 1 << 30})
	if err != nil {
		return nil, fmt.Errorf("starting the sink: %w", err)
	}
	s.engine = engine
	for _, l := range o.Listeners {
		if err := s.listen(l); err != nil {
			s.Close()
			return nil, fmt.Errorf("starting the sink: %w", err)
		}
	}
	return s, nil
}

func (s *Sink) listen(o Listener) error {
	setDefault(&o.Addr, "127.0.0.1:0")
	setDefault(&o.Host, "sink.example")
	l, err := eventloop.Listen(o.Addr)
	if err != nil {
		return err
	}
	p := &port{Listener: o, index: len(s.ports), addr: l.Addr().String(),
		ehlo: s.keywords(o.Without)}
	s.ports = append(s.ports, p)
	_, err = s.engine.Serve(l,
		eventloop.ListenerOptions{New: func(c *eventloop.Conn) eventloop.Handler {
			return s.session(c, p)
		}})
	return err
}

// Keywords are what a Sink offers in its answer to EHLO, beside STARTTLS.
var Keywords = []string{"PIPELINING", "8BITMIME", "SMTPUTF8", "CHUNKING", "BINARYMIME", "DSN",
	"ENHANCEDSTATUSCODES", "SIZE"}

// keywords makes the keyword lines of the answer to EHLO.
func (s *Sink) keywords(without []string) string {
	text := ""
	for _, k := range Keywords {
		switch {
		case slices.Contains(without, k):
		case k == "SIZE":
			text += fmt.Sprintf("250-SIZE %d\r\n", s.o.Size)
		default:
			text += "250-" + k + "\r\n"
		}
	}
	return text
}

// Addr returns the sink's first address, host:port.
func (s *Sink) Addr() string { return s.ports[0].addr }

// Addrs returns the addresses of its listeners, in their order.
func (s *Sink) Addrs() (addrs []string) {
	for _, p := range s.ports {
		addrs = append(addrs, p.addr)
	}
	return addrs
}

// SetHook replaces the hook; nil has everything accepted.
func (s *Sink) SetHook(hook func(*Step) Action) {
	if hook == nil {
		hook = func(*Step) Action { return Action{} }
	}
	s.hook.Store(&hook)
}

// Close stops the sink at once.
func (s *Sink) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.Shutdown(ctx)
	return nil
}

// Shutdown takes no more connections, and stops the sink when all have ended or ctx has. It may be
// called once, Close included.
func (s *Sink) Shutdown(ctx context.Context) {
	_ = s.engine.Shutdown(ctx) // says that connections were cut, which is meant
}

// Deliveries returns what was accepted so far, in order.
func (s *Sink) Deliveries() []Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mu.deliveries)
}

// Since returns what was accepted after the first n.
func (s *Sink) Since(n int) []Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mu.deliveries[min(n, len(s.mu.deliveries)):])
}

// Accepted returns the number of accepted transactions.
func (s *Sink) Accepted() int { return int(s.accepted.Load()) }

// Octets returns the octets of accepted content.
func (s *Sink) Octets() int64 { return int64(s.octets.Load()) }

// Connects returns the number of connections so far.
func (s *Sink) Connects() int { return int(s.connects.Load()) }

// Open returns the number of connections that are open.
func (s *Sink) Open() int { return int(s.open.Load()) }

// MostOpen returns the largest number of connections open at one time.
func (s *Sink) MostOpen() int { return int(s.mostOpen.Load()) }

// Reset forgets deliveries and counts.
func (s *Sink) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.deliveries = nil
	s.accepted.Store(0)
	s.octets.Store(0)
	s.connects.Store(0)
	s.mostOpen.Store(s.open.Load())
}

// Wait waits until n transactions were accepted.
func (s *Sink) Wait(ctx context.Context, n int) error {
	for {
		s.mu.Lock()
		if s.mu.arrived == nil {
			s.mu.arrived = make(chan struct{})
		}
		arrived := s.mu.arrived
		s.mu.Unlock()
		if s.Accepted() >= n {
			return nil
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d messages arrived: %w", s.Accepted(), n, ctx.Err())
		}
	}
}

// record notes an accepted transaction.
func (s *Sink) record(d *Delivery) {
	s.octets.Add(uint64(d.Size))
	if s.o.Accepted != nil {
		s.o.Accepted(d)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted.Add(1)
	if !s.o.Count {
		s.mu.deliveries = append(s.mu.deliveries, *d)
	}
	if s.mu.arrived != nil {
		close(s.mu.arrived)
		s.mu.arrived = nil
	}
}

// joined and left count connections.
func (s *Sink) joined() uint64 {
	n := s.open.Add(1)
	for most := s.mostOpen.Load(); n > most && !s.mostOpen.CompareAndSwap(most, n); {
		most = s.mostOpen.Load()
	}
	return s.connects.Add(1)
}

func (s *Sink) left() { s.open.Add(-1) }
