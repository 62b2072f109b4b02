package pop3

import "sync/atomic"

// Stats are totals since the start of a Server, and the connections now.
type Stats struct {
	Connections   uint64 // accepted
	Open          int64  // now
	LoggedIn      int64  // now, with a locked maildrop
	AuthSucceeded uint64
	AuthFailed    uint64
	Refused       uint64 // -ERR replies
	Retrieved     uint64 // messages
	Octets        uint64 // of those messages
	Removed       uint64 // messages
	LocksLost     uint64 // sessions ended because their maildrop's owner had changed
	Timeouts      uint64 // sessions ended because the client was too slow
	TLS           uint64 // handshakes that succeeded
	TLSFailed     uint64
	GaveWay       uint64 // silent sessions ended because places ran short
}

// stats are the counters behind Stats.
type stats struct {
	connections, authSucceeded, authFailed, refused atomic.Uint64
	retrieved, octets, removed                      atomic.Uint64
	locksLost, timeouts, tls, tlsFailed             atomic.Uint64

	loggedIn atomic.Int64
}

// Stats returns the counters. It may be called on any goroutine.
func (s *Server) Stats() Stats {
	c := &s.stats
	return Stats{
		Connections: c.connections.Load(), Open: s.open.Count(), LoggedIn: c.loggedIn.Load(),
		AuthSucceeded: c.authSucceeded.Load(), AuthFailed: c.authFailed.Load(),
		Refused:   c.refused.Load(),
		GaveWay:   s.room.Ended(),
		Retrieved: c.retrieved.Load(), Octets: c.octets.Load(), Removed: c.removed.Load(),
		LocksLost: c.locksLost.Load(),
		Timeouts:  c.timeouts.Load(), TLS: c.tls.Load(), TLSFailed: c.tlsFailed.Load(),
	}
}
