package machine

import (
	"time"

	"github.com/postroad/postroad/internal/mail"
)

// PartRef says where one piece of a content lies: a part of a log entry. Content is the parts
// joined.
type PartRef struct {
	Index uint64
	Part  int
	Size  int64
}

// State is a recipient's state (architecture.md section 6).
type State uint8

const (
	Ready    State = iota // may be attempted when due
	InFlight              // being attempted now; known to the scheduler only, never stored
	Deferred              // an attempt failed for now; due later
	Held                  // waits for an operator
	// Final states:
	Delivered // handed to a mailbox
	Relayed   // accepted by the next hop
	Expanded  // replaced by others
	Failed    // permanent failure
	Expired   // time ran out
	Removed   // taken out by an operator without a report
)

// Final reports whether the state is final.
func (s State) Final() bool { return s >= Delivered }

// Message is an accepted message as the scheduler sees it. Read-only after it was made.
type Message struct {
	ID       mail.ID
	Envelope *mail.Envelope
	Arrived  time.Time // command time of acceptance
	Size     int64
	Parts    []PartRef
	// IsReport marks a DSN of ours; its sender is null and it is never reported on.
	IsReport bool
}

// Outcome is what became of one recipient in one attempt, or by an operator's or the clock's will.
type Outcome struct {
	ID        mail.ID
	Recipient uint32
	Domain    string
	WasDue    time.Time // the Due of the Item it came from: part of the schedule row's key
	State     State     // Deferred, Held or a final state
	Due       time.Time // Deferred: when to try again
	Attempt   mail.Attempt
	// a delay warning is due with this outcome (at most one a recipient is ever reported)
	Warn bool
	// HopDSN: Relayed to a next hop that offers DSN and took the sender's NOTIFY over (RFC 3461
	// 5.2.2). To one that does not, NOTIFY=SUCCESS is answered by us with a "relayed" report.
	HopDSN bool
}
