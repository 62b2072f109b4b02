// Package maillog is the one place where a mail event becomes a line: the log line that parsers of
// the field know and the JSON record of the event log. Packages hand a Record to a Sink; they never
// format lines of their own.
package maillog

import (
	"encoding/hex"
	"net/netip"
	"time"

	"github.com/postroad/postroad/internal/mail"
)

// Type is the closed list of record types.
type Type uint8

const (
	Reception        Type = iota + 1 // a message was accepted (250 sent)
	Rejection                        // a command or message was refused
	Delivery                         // one recipient was relayed or delivered
	TransientFailure                 // one recipient's attempt failed for now
	Bounce                           // one recipient failed for good
	Expiration                       // one recipient's time ran out
	AdminBounce                      // an operator failed or removed one recipient
	Delayed                          // a delay warning became due
	OOB                              // an out-of-band bounce was received
	Feedback                         // a feedback report was received
	HandedOver                       // a message went to another queue group of the cluster
)

var typeNames = [...]string{"Unknown", "Reception", "Rejection", "Delivery", "TransientFailure",
	"Bounce", "Expiration", "AdminBounce",
	"Delayed", "OOB", "Feedback", "HandedOver"}

// String returns the type's name in the event log.
func (t Type) String() string {
	if int(t) >= len(typeNames) {
		t = 0
	}
	return typeNames[t]
}

// Record is one mail event. Per recipient, except Reception and Rejection.
type Record struct {
	Type       Type
	At         time.Time
	ID         mail.ID // zero for a Rejection before a message existed
	Sender     string
	Recipient  string // Reception: the first; the number is in Recipients
	Recipients int
	// OrigRecipient is the address that the sender used, when the directory sent the mail
	// elsewhere. OrigID: the ID that the client was told, when this message was made of that one,
	// for a list or somebody who forwards; of a report, the message that it is about.
	OrigRecipient string
	OrigID        mail.ID
	// Report, of the Reception of a report that this host made on OrigID, is what Postfix calls
	// such a report: "non-delivery notification", "delay notification", "delivery status
	// notification".
	Report string
	// MessageID is the Message-ID field of the content, with its brackets: of a Reception, and of a
	// Rejection that has seen it.
	MessageID string
	// Refused are the recipients of a message that was refused as a whole, or the first of many.
	Refused   []string
	Mechanism string // of a Rejection that is a failed log-in: PLAIN and so on
	Protocol  string // of the session that it came in by: ESMTPS and so on (RFC 3848)
	Queue     string // the destination: recipient domain or smart host
	Site      string
	Size      int64
	Created   time.Time // arrival
	Attempts  int       // including this one
	// Response: the peer's words, or ours; Code is 0 when a peer was asked and gave no reply.
	// Command is what it answered.
	Code     int
	Enhanced string
	Text     string
	Command  string
	// Relay is the remote host's name, Peer its address, Source ours.
	Relay  string
	Peer   netip.AddrPort
	Source netip.Addr
	TLS    string // "TLSv1.3 TLS_AES_128_GCM_SHA256", "" in clear
	// Delays as in the log line: before the queue, in the queue, connecting, transmitting.
	Delays [4]time.Duration
	// NextAttempt is when a deferred recipient is tried again.
	NextAttempt time.Time
	// PossibleDuplicate: an earlier attempt may have succeeded without our knowing.
	PossibleDuplicate bool
	Classification    string // bounce classification from a closed list
	Tenant            string
	Campaign          string
	User              string
	Session           string // inbound or outbound session ID
	TraceID           string
}

// Describe sets what all records of a message have in common.
func (r *Record) Describe(id mail.ID, env *mail.Envelope, size int64, arrived time.Time) {
	r.ID, r.Sender, r.Recipients, r.Size, r.Created = id, env.Sender, len(env.Recipients), size,
		arrived
	r.Tenant, r.Campaign, r.User = env.Origin.Tenant, env.Origin.Campaign, env.Origin.User
	r.TracedBy(env)
}

// TracedBy sets the trace that a message belongs to, if it is sampled.
func (r *Record) TracedBy(env *mail.Envelope) {
	if t := env.TraceContext; len(t) >= 16 {
		r.TraceID = hex.EncodeToString(t[:16])
	}
}

// To names one recipient, and the address that the sender used for it.
func (r *Record) To(to *mail.Recipient) {
	r.Recipient, r.OrigRecipient, r.Queue = to.Address, to.Original(), to.Domain
}

// Sink takes records. Safe for use by several goroutines; never blocks for long: when its buffer is
// full it counts and drops log lines rather than stop mail, and says so.
type Sink interface {
	Log(*Record)
	// Queued writes the line "ID: from=<sender>, size=N, nrcpt=N (queue active)", Removed the line
	// "ID: removed".
	Queued(id mail.ID, sender string, size int64, recipients int)
	Removed(id mail.ID)
}

// Discard is a Sink that keeps nothing.
var Discard Sink = discard{}

type discard struct{}

func (discard) Log(*Record)                        {}
func (discard) Queued(mail.ID, string, int64, int) {}
func (discard) Removed(mail.ID)                    {}
