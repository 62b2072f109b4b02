package record

import (
	"net/netip"
	"time"
)

// Outcome is what a generator knows of one recipient of one message.
type Outcome uint8

const (
	NotSent  Outcome = iota // given up before the end of the data
	Accepted                // there was a 2xx reply after the end of the data
	Refused                 // there was a 4xx or 5xx reply, at RCPT or later
	Unknown                 // the end of the data was sent, and no reply came
)

func (o Outcome) String() string {
	return [...]string{"not sent", "accepted", "refused", "unknown"}[o]
}

// MarshalText writes the word.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// Recipient is one recipient of a message that was sent.
type Recipient struct {
	Address string  `json:"address"`
	Outcome Outcome `json:"outcome"`
	Code    uint16  `json:"code"` // of the reply that decided; 0 when there was none
}

// Sent is one message of a generator.
type Sent struct {
	ID string `json:"id"`
	// what the server calls it, where that is known
	QueueID    string      `json:"queue_id,omitempty"`
	Sender     string      `json:"sender"`
	Recipients []Recipient `json:"recipients"`
	Sum        Sum         `json:"sum"`
	Size       int64       `json:"size"`       // octets of the content
	Conn       uint32      `json:"connection"` // number of the connection, for the order on it
	// when the transaction began, or was to begin where the load has a schedule
	Begun time.Time `json:"begun"`
	Ended time.Time `json:"ended"` // when the last reply was read, or given up on
}

// Received is one transaction that a receiving server accepted.
type Received struct {
	ID         string   `json:"id"` // "" when the content has no Marker
	Sender     string   `json:"sender"`
	Recipients []string `json:"recipients"`
	Sum        Sum      `json:"sum"`
	// octets of the content, the trace header included
	Size      int64          `json:"size"`
	Conn      uint32         `json:"connection"` // number of the connection, from 1
	Client    netip.AddrPort `json:"client"`     // the other end of the connection
	TLS       bool           `json:"tls"`
	Connected time.Time      `json:"connected"` // when the connection was opened
	Begun     time.Time      `json:"begun"`     // when MAIL came
	Accepted  time.Time      `json:"accepted"`  // when the 250 for the content was written
}
