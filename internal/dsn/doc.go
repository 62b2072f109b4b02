// Package dsn writes and reads delivery status notifications (RFC 3464, RFC 3461, RFC 6533) and
// decides which outcome calls for one. It does no I/O but on the reader and writer it is given, and
// holds a bounded part of a message.
package dsn

import (
	"cmp"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
)

// Action is what became of a recipient (RFC 3464 2.3.3).
type Action uint8

const (
	Failed    Action = iota + 1 // given up
	Delayed                     // not yet delivered, still being tried
	Delivered                   // in the mailbox
	// handed to a next hop that issues no reports (without the DSN extension)
	Relayed
	Expanded // replaced by several addresses
)

var actionNames = [...]string{Failed: "failed", Delayed: "delayed", Delivered: "delivered",
	Relayed: "relayed", Expanded: "expanded"}

// String returns the word of the Action field, "" for a value that is none.
func (a Action) String() string {
	if int(a) < len(actionNames) {
		return actionNames[a]
	}
	return ""
}

// Calls reports whether an outcome calls for a report to sender (RFC 3461 4.1 and 5.2). A message
// with the null reverse-path is never reported on (RFC 5321 4.5.5). Relayed is asked about only
// when the next hop does not offer DSN; else the duty to report has gone there with the NOTIFY
// parameter.
func Calls(sender string, notify mail.Notify, action Action) bool {
	if sender == "" || notify&mail.NotifyNever != 0 {
		return false
	}
	if notify == 0 { // the parameter was absent: failures are reported, and by our choice delays
		return action == Failed || action == Delayed
	}
	switch action {
	case Failed:
		return notify&mail.NotifyFailure != 0
	case Delayed:
		return notify&mail.NotifyDelay != 0
	case Delivered, Relayed, Expanded:
		return notify&mail.NotifySuccess != 0
	}
	return false
}

// Report is the facts of one report: one message, and those of its recipients that have an outcome
// to report.
type Report struct {
	Host string    // the reporting MTA's host name
	ID   mail.ID   // of the report itself
	Date time.Time // of the report
	To   string    // the reverse-path of the original; never ""

	// The original message.
	OriginalID mail.ID
	EnvelopeID string // ENVID, decoded; "" when absent
	Ret        mail.Ret
	Body       mail.BodyType
	SMTPUTF8   bool
	Arrived    time.Time
	Size       int64

	Recipients []Recipient
}

// Recipient is one recipient's outcome.
type Recipient struct {
	Address string
	ORcpt   string // "addr-type;address", decoded; "" when absent
	Action  Action
	Attempt mail.Attempt // the last one
	// Status is ours, where it is not what the last attempt came to (RFC 3464 2.3.4).
	Status string
	// Tried is for how long a recipient was tried that is given up because its time ran out.
	Tried time.Duration
	// RetryUntil is when a delayed recipient is given up.
	RetryUntil time.Time
}

// status is the code of the Status field.
func (r *Recipient) status() string { return cmp.Or(r.Status, r.Attempt.Enhanced) }

// said returns the peer's words with their code, "" when it gave none.
func (r *Recipient) said() string {
	if r.Attempt.Code == 0 {
		return ""
	}
	return r.Attempt.Answer()
}

// found returns what we found out ourselves.
func (r *Recipient) found() string {
	if r.Tried > 0 && r.Attempt.Text != "" {
		return r.gaveUp() + ": " + r.Attempt.Text
	} else if r.Tried > 0 {
		return r.gaveUp()
	}
	return r.Attempt.Text
}

func (r *Recipient) gaveUp() string { return "given up after " + inWords(r.Tried) }

// Needs says what the transaction that carries a report has to ask of the next hop.
type Needs struct {
	Body     mail.BodyType
	SMTPUTF8 bool
}

// has reports whether any recipient has action.
func (r *Report) has(action Action) bool {
	for i := range r.Recipients {
		if r.Recipients[i].Action == action {
			return true
		}
	}
	return false
}

// global reports whether the report has to be written with UTF-8 in its fields (RFC 6533). Only the
// sender of an SMTPUTF8 message is known to understand that.
func (r *Report) global() bool {
	if !r.SMTPUTF8 {
		return false
	}
	if !smtp.IsASCII(r.To) {
		return true
	}
	for i := range r.Recipients {
		if !smtp.IsASCII(r.Recipients[i].Address) || !smtp.IsASCII(r.Recipients[i].ORcpt) {
			return true
		}
	}
	return false
}
