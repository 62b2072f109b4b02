package queue

import (
	"fmt"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/rows"
)

// Rows and the parts of contents are read through a Reader, and commands go through a Proposer.
type (
	Reader   = rows.ContentReader
	Proposer = rows.Proposer
)

// ErrRefused is what the owner's methods return when this member is not the owner, or the group
// refused the command. Nothing happened.
var ErrRefused = rows.ErrRefused

// errNotOwner is what this member itself refuses with.
var errNotOwner = fmt.Errorf("%w: not the owner of this queue", ErrRefused)

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
