// Package queue is the replicated queue: the state machine of messages and recipients over a group's keys (Apply), the
// front that gathers submissions into commands, and what the scheduler and the operator read and do.
// It knows no raft, no store and no socket: a Group gives it these. DESIGN.md says why it is built so.
package queue

import (
	"context"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
)

// Group is what a queue needs of its replicated group.
type Group interface {
	Reader
	Proposer
}

// Clock gives command time.
type Clock interface{ Now() time.Time }

// Options of a Queue. The zero value of a field means its default.
type Options struct {
	Member     uint16                          // the member's number, part of the IDs it gives
	Budget     *mail.Budget                    // octets of mail in memory; nil: fresh content is never kept in memory
	NewClock   func(floor time.Time) Clock     // default clock.NewSteady; called at Start with the newest command time
	InFlight   func(id mail.ID, r uint32) bool // whether the scheduler is attempting this recipient now, for listings; nil: never
	Proposers  int                             // accept commands under way at once; default 2
	UnknownFor time.Duration                   // how long a proposal with unknown outcome is repeated; default 60 s
	// Submissions waiting for a proposer; beyond either bound: 452 4.3.1.
	PendingBytes    int64 // default 32 MiB
	PendingMessages int   // default 10,000
	// Outcomes waiting for the settler; beyond it Settle reports false. Default 20,000.
	PendingOutcomes int
}

// Queue is one group's queue. Except for Apply and Committed, its methods are safe for use by several goroutines.
type Queue struct{}

// New returns a queue that can apply commands. Reads and proposals work from Start on.
func New(o Options) *Queue { panic("not yet") }

// Apply applies one command of the log. It is called on one goroutine.
func (q *Queue) Apply(w Writer, index, term uint64, data []byte, parts [][]byte) any {
	panic("not yet")
}

// Committed says that the batch with all preceding Apply calls is in the store.
func (q *Queue) Committed() { panic("not yet") }

// Start makes this member the owner: it proposes the epoch command and from its outcome on takes submissions. l hears of
// what is applied from then on; everything older is to be read with Domains and Due.
func (q *Queue) Start(ctx context.Context, g Group, l Listener) error { panic("not yet") }

// Stop refuses new submissions (451 4.3.2), waits until what is pending is answered and settled, and records that no attempt is under
// way: stop the scheduler first. When ctx ends before that, the rest is left as unknown.
func (q *Queue) Stop(ctx context.Context) error { panic("not yet") }

// Now is the command time, which the scheduler shares.
func (q *Queue) Now() time.Time { panic("not yet") }

// Submit takes a message (smtpd.Submitter). It does not block.
func (q *Queue) Submit(env *mail.Envelope, content *mail.Content, done func(mail.ID, *smtp.Failure)) {
	panic("not yet")
}

// Settle records outcomes. It takes them always and does not block; false says that too many are waiting: start no
// attempt before SettleRoom returned. done (may be nil) is called when they are recorded, or with an error when the queue
// was stopped before that was known. The outcomes of one message should be neighbours.
func (q *Queue) Settle(outcomes []Outcome, done func(error)) (room bool) { panic("not yet") }

// SettleRoom waits until Settle has room again.
func (q *Queue) SettleRoom(ctx context.Context) error { panic("not yet") }

// DomainDue is a domain with scheduled recipients and the earliest time one of them is due.
type DomainDue struct {
	Domain string
	Due    time.Time
}

// Domains returns up to max domains after the given one, in order of their names.
func (q *Queue) Domains(after string, max int) ([]DomainDue, error) { panic("not yet") }

// Cursor is a place in a domain's schedule. The zero Cursor is before its beginning.
type Cursor struct {
	Due time.Time
	ID  mail.ID
}

// Due returns up to max items of a domain that come after the cursor and are due at until or before, in order of their due times,
// and the cursor of the last of them (or after, when there is none). Fewer than max items: there are no more of them now.
func (q *Queue) Due(domain string, after Cursor, until time.Time, max int) ([]Item, Cursor, error) {
	panic("not yet")
}

// RecipientStatus is what is known of one recipient.
type RecipientStatus struct {
	State          State
	Due            time.Time // Ready and Deferred
	Attempts       int
	Last           mail.Attempt // the latest attempt or decision; zero when there was none
	Warned         bool         // a delay warning was due once
	MaybeAttempted bool
}

// Stored is a message with the state of each of its recipients.
type Stored struct {
	Message    *Message
	Recipients []RecipientStatus // as Message.Envelope.Recipients
}

// Load returns a message, or nil when it is not in the queue (any more).
func (q *Queue) Load(id mail.ID) (*Stored, error) { panic("not yet") }

// ScanArrived calls fn with the messages after the given ID that arrived before the given time, in order of arrival, until fn returns
// false. It serves the sweeps for expiry and delay warnings.
func (q *Queue) ScanArrived(after mail.ID, before time.Time, fn func(*Stored) bool) error {
	panic("not yet")
}

// ContentReader reads a message's content part by part. It is an io.ReadCloser and io.WriterTo.
type ContentReader struct{}

func (r *ContentReader) Read(p []byte) (int, error) { panic("not yet") }
func (r *ContentReader) Close() error               { panic("not yet") }

// OpenContent returns a reader of m's content that holds one part (at most 512 KiB) in memory.
func (q *Queue) OpenContent(m *Message) *ContentReader { panic("not yet") }

// ReportKind says what a due report is about.
type ReportKind uint8

const (
	ReportFailure ReportKind = iota + 1 // recipients Failed or Expired
	ReportDelay                         // recipients still being tried
	ReportSuccess                       // recipients Delivered, Relayed to a hop without DSN, or Expanded (NOTIFY=SUCCESS)
)

// ReportID names a due report: one message, one applied command, one kind.
type ReportID struct {
	ID    mail.ID
	Index uint64
	Kind  ReportKind
}

// Report is a report that is due to a message's sender.
type Report struct {
	ID         ReportID
	Message    *Message // the message reported on; its content is there until the report was accepted
	Recipients []ReportRecipient
}

// ReportRecipient is one recipient's share of a report.
type ReportRecipient struct {
	Number  uint32
	State   State // Failed, Expired, Delivered, Relayed, Expanded; a delay: Deferred
	Attempt mail.Attempt
}

// PendingReports returns up to max due reports after the given one.
func (q *Queue) PendingReports(after ReportID, max int) ([]Report, error) { panic("not yet") }

// ReportsDue gets a value when reports became due since it was last read.
func (q *Queue) ReportsDue() <-chan struct{} { panic("not yet") }

// AcceptReport submits the report message (null reverse-path) for a due report; both happen in one batch. For a report that was
// accepted before it is a success that makes no second message.
func (q *Queue) AcceptReport(id ReportID, env *mail.Envelope, content *mail.Content, done func(mail.ID, *smtp.Failure)) {
	panic("not yet")
}

// Filter selects recipients. Empty fields select all; the others must all hold.
type Filter struct {
	IDs              []mail.ID
	Domain           string // recipient domain, as A-labels
	Sender           string // whole address, ASCII case-insensitive; "<>" is the null reverse-path
	Recipient        string
	Tenant, Campaign string
	States           []State   // Ready, InFlight, Deferred, Held
	Before           time.Time // arrived before
}

// Total counts what a filter selected at an applied index.
type Total struct {
	Index      uint64
	Messages   int64
	Recipients int64
	ByState    [Removed + 1]int64 // recipients
}

// List calls fn with the selected messages in order of arrival until it returns false. fn gets whole messages and which
// recipients were selected. No lock or store resource is held during fn.
func (q *Queue) List(ctx context.Context, f Filter, fn func(m *Stored, selected []uint32) bool) (Total, error) {
	panic("not yet")
}

// Count counts at one moment.
func (q *Queue) Count(ctx context.Context, f Filter) (Total, error) { panic("not yet") }

// Moved hears of each recipient that an operator's command changed; nil: nobody.
type Moved func(m *Stored, recipient uint32, to State)

// Hold holds the selected recipients; for one being attempted it takes effect at the outcome.
func (q *Queue) Hold(ctx context.Context, f Filter, moved Moved) (Total, error) { panic("not yet") }

// ReleaseHeld makes held recipients ready now.
func (q *Queue) ReleaseHeld(ctx context.Context, f Filter, moved Moved) (Total, error) {
	panic("not yet")
}

// Flush makes deferred recipients due now.
func (q *Queue) Flush(ctx context.Context, f Filter, moved Moved) (Total, error) { panic("not yet") }

// Fail fails recipients for good, with a report to the sender that gives why (its code, enhanced code and text).
func (q *Queue) Fail(ctx context.Context, f Filter, why mail.Attempt, moved Moved) (Total, error) {
	panic("not yet")
}

// Remove takes recipients out without a report.
func (q *Queue) Remove(ctx context.Context, f Filter, moved Moved) (Total, error) { panic("not yet") }
