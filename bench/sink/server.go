package sink

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/bench/record"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// Options say where a Server listens, how it behaves and what it writes down.
type Options struct {
	Config *Config // behaviour and zones; default: everything is accepted
	// addresses, host:port, before those of Config; default, when Config has none: "127.0.0.1:0"
	Listen []string
	DNS    string // where the name server listens, on UDP and TCP; "": there is none
	Loops  int    // event loops; default 1
	// the record goes there as it grows (record.ReadReceived reads it), 256 KiB at a time on an
	// event loop, and is not kept in memory
	Record io.Writer
	Count  bool             // keep no record, only counts
	Now    func() time.Time // for the rules' limits; default time.Now
	// Drop is for tests of the check: message number Drop, from 1, is accepted and left out of the
	// record, as if it had been lost. Default: what the environment variable DropVariable says.
	Drop int
}

// DropVariable is Options.Drop for a sink in another process.
const DropVariable = "POSTROAD_BENCH_DROP"

// Server is a running sink. Its methods may be called on any goroutine.
type Server struct {
	o         Options
	authority *mailtest.Authority
	smtp      *mailtest.Sink
	first     int                 // of smtp's listeners, which is of Config.Listen[0]
	certs     []*x509.Certificate // of Config.Listen; nil without one
	dns       *mailtest.DNS
	policies  *policies
	program   atomic.Pointer[program]
	records   *record.ReceivedLog
	seen      atomic.Int64 // messages, for Drop
	started   time.Time
	stop      sync.Once
	stopped   error
}

// Start starts a sink.
func Start(o Options) (*Server, error) {
	if o.Config == nil {
		o.Config = &Config{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if len(o.Listen)+len(o.Config.Listen) == 0 {
		o.Listen = []string{"127.0.0.1:0"}
	}
	if o.Drop == 0 {
		o.Drop, _ = strconv.Atoi(os.Getenv(DropVariable)) // 0 drops nothing
	}
	if err := o.Config.Check(); err != nil {
		return nil, err
	}
	s := &Server{o: o, first: len(o.Listen), records: record.NewReceivedLog(), started: time.Now()}
	if err := s.start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the sink: %w", err), s.Close())
	}
	return s, nil
}

func (s *Server) start() (err error) {
	if s.authority, err = mailtest.NewAuthority(); err != nil {
		return err
	}
	if s.o.Record != nil {
		if err := s.records.Stream(s.o.Record); err != nil {
			return err
		}
	}
	if err := s.servePolicies(); err != nil {
		return err
	}
	if err := s.listen(); err != nil {
		return err
	}
	if s.o.DNS == "" {
		return nil
	}
	if s.dns, err = mailtest.StartDNS(s.o.DNS); err != nil {
		return err
	}
	return s.dns.Add(s.zone()...)
}

// listen starts to take mail.
func (s *Server) listen() (err error) {
	o := mailtest.SinkOptions{Loops: s.o.Loops, Count: true, Accepted: s.accepted}
	for _, addr := range s.o.Listen {
		o.Listeners = append(o.Listeners, mailtest.Listener{Addr: addr})
	}
	for i := range s.o.Config.Listen {
		l := &s.o.Config.Listen[i]
		conf, cert, err := s.certificate(l)
		if err != nil {
			return err
		}
		s.certs = append(s.certs, cert)
		o.Listeners = append(o.Listeners, mailtest.Listener{Addr: l.Address, Host: l.Host,
			TLS: conf, Without: l.Without})
	}
	if len(s.o.Config.Rules) > 0 {
		s.forget()
		o.Hook, o.Left = s.decide, s.left
	}
	s.smtp, err = mailtest.StartSink(o)
	return err
}

// forget has the rules begin anew.
func (s *Server) forget() { s.program.Store(compile(s.o.Config, s.first, s.o.Now)) }

func (s *Server) decide(step *mailtest.Step) mailtest.Action {
	return s.program.Load().decide(step)
}

// left is told of a connection that has ended.
func (s *Server) left(session uint64) {
	for _, r := range s.program.Load().rules {
		r.open.leave(session)
	}
}

// accepted records a transaction.
func (s *Server) accepted(d *mailtest.Delivery) {
	if s.o.Drop > 0 && s.seen.Add(1) == int64(s.o.Drop) || s.o.Count {
		return
	}
	_ = s.records.Add(d.Record()) // Missed counts, and Close tells of the file
}

// Addr returns the first address at which the sink takes mail, host:port.
func (s *Server) Addr() string { return s.smtp.Addr() }

// Addrs returns all of them: those of Options.Listen, then those of Config.
func (s *Server) Addrs() []string { return s.smtp.Addrs() }

// DNS returns the name server, or nil when there is none. Records can be added to it.
func (s *Server) DNS() *mailtest.DNS { return s.dns }

// PolicyAddr returns where MTA-STS policies are served, or "" where no domain has one.
func (s *Server) PolicyAddr() string {
	if s.policies == nil {
		return ""
	}
	return s.policies.addr
}

// Authority returns, in PEM, the certificate of the authority that signed the sink's.
func (s *Server) Authority() []byte { return s.authority.PEM() }

// Records returns what was accepted, which grows. With Options.Record or Count it has nothing to
// show but its length.
func (s *Server) Records() *record.ReceivedLog { return s.records }

// Counts are totals since the start or the last Reset.
type Counts struct {
	Messages   int   `json:"messages"` // accepted transactions
	Octets     int64 `json:"octets"`   // of their content
	Connects   int   `json:"connections"`
	Open       int   `json:"open"`       // connections, now
	MostOpen   int   `json:"most_open"`  // at one time
	Unrecorded int   `json:"unrecorded"` // messages that there was no room for in the record
}

// Counts returns the totals.
func (s *Server) Counts() Counts {
	return Counts{s.smtp.Accepted(), s.smtp.Octets(), s.smtp.Connects(), s.smtp.Open(),
		s.smtp.MostOpen(), s.records.Missed()}
}

// Reset forgets the record, the counts and what the rules remember of clients. It is for the time
// between two runs, when no connection is open, and not for a sink with Options.Record.
func (s *Server) Reset() {
	s.records.Reset()
	s.smtp.Reset()
	s.seen.Store(0)
	if s.program.Load() != nil {
		s.forget()
	}
}

// Wait waits until n messages were accepted since the start or the last Reset.
func (s *Server) Wait(ctx context.Context, n int) error { return s.smtp.Wait(ctx, n) }

// Close stops the sink at once and ends the record. Its error is the first of the record's file.
// Further calls return the same.
func (s *Server) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return s.Shutdown(ctx)
}

// Shutdown is Close when all connections have ended, or ctx has. Until then no more are taken.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop.Do(func() { s.stopped = s.end(ctx) })
	return s.stopped
}

func (s *Server) end(ctx context.Context) error {
	if s.smtp != nil {
		s.smtp.Shutdown(ctx)
	}
	if s.policies != nil {
		s.policies.close()
	}
	if s.dns != nil {
		_ = s.dns.Close() // it has nothing to lose
	}
	return s.records.Finish()
}
