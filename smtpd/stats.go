package smtpd

import (
	"sync/atomic"

	"github.com/postroad/postroad/internal/smtp"
)

// Stats are totals since the start of a Server, and the connections now.
type Stats struct {
	Connections   uint64 // accepted
	Open          int64  // now
	Messages      uint64 // acknowledged with 250
	Recipients    uint64 // of those messages
	Octets        uint64 // of those messages
	RejectedTemp  uint64 // 4yz replies
	RejectedPerm  uint64 // 5yz replies
	AuthSucceeded uint64
	AuthFailed    uint64
	Timeouts      uint64 // sessions ended because the client was too slow
	TLS           uint64 // handshakes that succeeded
	TLSFailed     uint64
	GaveWay       uint64 // silent sessions ended because places ran short
}

// stats are the counters behind Stats.
type stats struct {
	connections, messages, recipients, octets, rejectedTemp, rejectedPerm, authSucceeded,
	authFailed, timeouts, tls, tlsFailed atomic.Uint64
}

func (c *stats) accepted(tx *transaction) {
	c.messages.Add(1)
	c.recipients.Add(uint64(len(tx.env.Recipients)))
	c.octets.Add(uint64(tx.size))
}

func (c *stats) rejected(f *smtp.Failure) {
	if f.Temporary() {
		c.rejectedTemp.Add(1)
	} else {
		c.rejectedPerm.Add(1)
	}
}

// Stats returns the counters. It may be called on any goroutine.
func (s *Server) Stats() Stats {
	c := &s.stats
	return Stats{
		GaveWay:     s.room.Ended(),
		Connections: c.connections.Load(), Open: s.open.Count(),
		Messages: c.messages.Load(), Recipients: c.recipients.Load(), Octets: c.octets.Load(),
		RejectedTemp: c.rejectedTemp.Load(), RejectedPerm: c.rejectedPerm.Load(),
		AuthSucceeded: c.authSucceeded.Load(), AuthFailed: c.authFailed.Load(),
		Timeouts: c.timeouts.Load(),
		TLS:      c.tls.Load(), TLSFailed: c.tlsFailed.Load(),
	}
}
