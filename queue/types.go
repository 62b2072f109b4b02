package queue

import (
	"fmt"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/rows"
)

// Apply writes to a Writer; rows and the parts of contents are read through a Reader, and commands
// go through a Proposer.
type (
	Writer   = rows.ContentWriter
	Reader   = rows.ContentReader
	Proposer = rows.Proposer
)

// ErrRefused is what the owner's methods return when this member is not the owner, or the group
// refused the command. Nothing happened.
var ErrRefused = rows.ErrRefused

// errNotOwner is what this member itself refuses with.
var errNotOwner = fmt.Errorf("%w: not the owner of this queue", ErrRefused)

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

// Item is the unit of scheduling: those recipients of one message that share a domain and a due
// time.
type Item struct {
	Message *Message
	Domain  string
	Due     time.Time
	// Recipients are the numbers (places in Envelope.Recipients) of this item, ascending.
	Recipients []uint32
	Attempts   int // attempts made before (the most of any of its recipients)
	// MaybeAttempted: an attempt may have been under way when the owner changed (architecture.md
	// promise 2).
	MaybeAttempted bool
	// Content is the whole content when it is in memory, else nil: read it with Queue.OpenContent.
	Content []byte
	// Release, when set, gives Content's share of the memory budget back; call it once when Content
	// is no longer needed.
	Release func()
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

// Listener hears of applied changes, on the leader only and after the batch is in the store. It
// must not block. The slices are valid during the call.
type Listener interface {
	// Accepted gives new items in the order of their acceptance. Their content is in memory when
	// the budget allowed.
	Accepted(items []Item)
	// Changed says that the schedule of these recipients was changed by something else than the
	// scheduler's own outcomes (an operator's command): forget what you hold of them, their rows
	// tell. domains are those that now may have something due.
	Changed(ids []mail.ID, domains []string)
	// Gone says that the last recipient of the messages was settled and the message removed.
	Gone(ids []mail.ID)
	// Suspended gives all that is suspended from now on.
	Suspended(s Suspensions)
}
