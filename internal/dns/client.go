// Package dns asks recursive resolvers, over UDP and TCP, and believes only answers to what was
// asked. It tells what does not exist from what the DNS did not say, keeps TTLs, and has a cache
// that puts one question for many callers. It does not validate DNSSEC.
package dns

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// Type is the type of a record.
type Type uint16

// The types that answers are read of.
const (
	TypeA    Type = Type(dns.TypeA)
	TypeMX   Type = Type(dns.TypeMX)
	TypeTXT  Type = Type(dns.TypeTXT)
	TypeAAAA Type = Type(dns.TypeAAAA)
)

// String returns the type's name, such as "MX".
func (t Type) String() string {
	if s, ok := dns.TypeToString[uint16(t)]; ok {
		return s
	}
	return fmt.Sprintf("TYPE%d", uint16(t)) // RFC 3597 5
}

// Options of a Client; the zero value of each field is its default.
type Options struct {
	// "host:port" of recursive resolvers; none: those of /etc/resolv.conf, read again when it
	// changes
	Servers []string
	Timeout time.Duration // of one question to one server, 3 s; doubled in the second round
	Sockets int           // questions on the wire at once, 256; further ones wait
}

// Client puts questions to recursive resolvers. Safe for use by several goroutines. It has no
// goroutine of its own.
type Client struct {
	o       Options
	servers atomic.Pointer[servers]
	sockets chan struct{} // one per question on the wire
	stats   struct {
		questions, tcp, retries, timeouts, mismatched, servfail, unanswered atomic.Uint64
	}
}

// New returns a client.
func New(o Options) (*Client, error) {
	if o.Timeout <= 0 {
		o.Timeout = 3 * time.Second
	}
	if o.Sockets <= 0 {
		o.Sockets = 256
	}
	c := &Client{o: o, sockets: make(chan struct{}, o.Sockets)}
	if err := c.SetServers(o.Servers); err != nil {
		return nil, err
	}
	return c, nil
}

// SetServers has the questions that come put to other servers; none: those of /etc/resolv.conf.
// Questions under way go on with the ones before. After an error nothing has changed.
func (c *Client) SetServers(given []string) error {
	s, err := newServers(given)
	if err == nil {
		c.servers.Store(s)
	}
	return err
}

// Stats are counts since the start.
type Stats struct {
	Questions, TCP, Retries uint64 // sent in all; of these by TCP; of these after a failure
	// no answer in time; answers to something else; SERVFAIL and its like
	Timeouts, Mismatched, Fail uint64
	// Unanswered are the questions that no server said anything to: all are down, or cannot be
	// reached.
	Unanswered uint64
}

// Stats returns the counts.
func (c *Client) Stats() Stats {
	s := &c.stats
	return Stats{s.questions.Load(), s.tcp.Load(), s.retries.Load(), s.timeouts.Load(),
		s.mismatched.Load(), s.servfail.Load(), s.unanswered.Load()}
}
