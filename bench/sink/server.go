package sink

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/postroad/postroad/bench/record"
	"github.com/postroad/postroad/internal/mailtest"
)

// Options say where a Server listens, how it behaves and what it writes down.
type Options struct {
	Config *Config   // behaviour and zones; default: everything is accepted
	Listen []string  // addresses, host:port, beside those of Config; default, when Config has none: "127.0.0.1:0"
	DNS    string    // where the name server listens, on UDP and TCP; "": there is none
	Loops  int       // event loops; default 1
	Record io.Writer // the record goes there as it grows (record.ReadReceived reads it) and is not kept in memory
	Count  bool      // keep no record, only counts
	Now    func() time.Time
}

// Server is a running sink. Its methods may be called on any goroutine.
type Server struct {
	o       Options
	smtp    *mailtest.Sink
	dns     *mailtest.DNS
	records *record.ReceivedLog
}

// Start starts a sink.
func Start(o Options) (*Server, error) {
	if o.Config == nil {
		o.Config = &Config{}
	}
	s := &Server{o: o, records: record.NewReceivedLog()}
	if err := s.start(); err != nil {
		s.Close()
		return nil, fmt.Errorf("starting the sink: %w", err)
	}
	return s, nil
}

func (s *Server) start() (err error) {
	if s.o.Record != nil {
		if err := s.records.Stream(s.o.Record); err != nil {
			return err
		}
	}
	if s.o.DNS != "" {
		if s.dns, err = mailtest.StartDNS(s.o.DNS); err != nil {
			return err
		}
	}
	var listeners []mailtest.Listener
	for _, addr := range s.o.Listen {
		listeners = append(listeners, mailtest.Listener{Addr: addr})
	}
	s.smtp, err = mailtest.StartSink(mailtest.SinkOptions{Listeners: listeners, Loops: s.o.Loops, Count: true, Accepted: s.accepted})
	return err
}

// accepted records a transaction.
func (s *Server) accepted(d *mailtest.Delivery) {
	if s.o.Count {
		return
	}
	_ = s.records.Add(&record.Received{ // Missed counts, and Close tells of the file
		ID: d.ID, Sender: d.Sender, Recipients: d.Recipients, Sum: record.Sum(d.Sum[:16]), Size: d.Size, Conn: uint32(d.Session), Client: d.Remote,
		TLS: d.TLS, Connected: d.Connected, Begun: d.Started, Accepted: d.Accepted,
	})
}

// Addr returns the first address at which the sink takes mail, host:port.
func (s *Server) Addr() string { return s.smtp.Addr() }

// Addrs returns all of them.
func (s *Server) Addrs() []string { return s.smtp.Addrs() }

// DNS returns the name server, or nil when there is none. Records can be added to it.
func (s *Server) DNS() *mailtest.DNS { return s.dns }

// Records returns what was accepted, which grows. With Options.Record or Count it has nothing to show but its length.
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
	return Counts{s.smtp.Accepted(), s.smtp.Octets(), s.smtp.Connects(), s.smtp.Open(), s.smtp.MostOpen(), s.records.Missed()}
}

// Reset forgets the record, the counts and what the rules remember of clients. It is for the time between two runs, not for a sink with Options.Record.
func (s *Server) Reset() {
	s.records.Reset()
	s.smtp.Reset()
}

// Wait waits until n messages were accepted since the start or the last Reset.
func (s *Server) Wait(ctx context.Context, n int) error { return s.smtp.Wait(ctx, n) }

// Close stops the sink at once and ends the record. Its error is the first of the record's file.
func (s *Server) Close() error {
	if s.smtp != nil {
		s.smtp.Close()
	}
	if s.dns != nil {
		s.dns.Close()
	}
	return s.records.Finish()
}
