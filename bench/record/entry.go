package record

import (
	"net/netip"
	"time"
)

// Sum is the first half of the SHA-256 of a content from the Marker on: `Sum(full[:16])`. The zero Sum says that nothing was hashed; such a content is
// not compared.
type Sum [16]byte

// Outcome is what a generator knows of one recipient of one message.
type Outcome uint8

const (
	NotSent  Outcome = iota // given up before the end of the data
	Accepted                // there was a 2xx reply after the end of the data
	Refused                 // there was a 4xx or 5xx reply, at RCPT or later
	Unknown                 // the end of the data was sent, and no reply came
)

func (o Outcome) String() string { return [...]string{"not sent", "accepted", "refused", "unknown"}[o] }

// Recipient is one recipient of a message that was sent.
type Recipient struct {
	Address string
	Outcome Outcome
	Code    uint16 // of the reply that decided; 0 when there was none
}

// Sent is one message of a generator.
type Sent struct {
	ID         string
	Sender     string
	Recipients []Recipient
	Sum        Sum
	Size       int64     // octets of the content
	Conn       uint32    // number of the connection, for the order on it
	Begun      time.Time // when the transaction began, or was to begin where the load has a schedule
	Ended      time.Time // when the last reply was read, or given up on
}

// Received is one transaction that a receiving server accepted.
type Received struct {
	ID         string // "" when the content has no Marker
	Sender     string
	Recipients []string
	Sum        Sum
	Size       int64          // octets of the content, the trace header included
	Conn       uint32         // number of the connection, from 1
	Client     netip.AddrPort // the other end of the connection
	TLS        bool
	Connected  time.Time // when the connection was opened
	Begun      time.Time // when MAIL came
	Accepted   time.Time // when the 250 for the content was written
}
