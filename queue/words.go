package queue

import "github.com/postroad/postroad/queue/machine"

// The state machine's words have their names here, too: a caller that has a queue needs no other
// package.
type (
	// State is a recipient's state (architecture.md section 6).
	State = machine.State
	// Reason says why a recipient moved.
	Reason = machine.Reason
	// Message is an accepted message as the scheduler sees it.
	Message = machine.Message
	// PartRef says where one piece of a content lies.
	PartRef = machine.PartRef
	// Outcome is what became of one recipient in one attempt.
	Outcome = machine.Outcome
	// Report is a report that is due to a message's sender.
	Report = machine.Report
	// ReportID names a due report.
	ReportID = machine.ReportID
	// ReportKind says what a due report is about.
	ReportKind = machine.ReportKind
	// ReportRecipient is one recipient's share of a report.
	ReportRecipient = machine.ReportRecipient
	// Suspension keeps the scheduler from beginning attempts.
	Suspension = machine.Suspension
	// SuspensionKind says what a suspension's name names.
	SuspensionKind = machine.SuspensionKind
	// Suspensions are all that a queue has acknowledged.
	Suspensions = machine.Suspensions
	// Stake is what commands that are given up had brought.
	Stake = machine.Stake
)

// The states of a recipient.
const (
	Ready     = machine.Ready
	InFlight  = machine.InFlight
	Deferred  = machine.Deferred
	Held      = machine.Held
	Delivered = machine.Delivered
	Relayed   = machine.Relayed
	Expanded  = machine.Expanded
	Failed    = machine.Failed
	Expired   = machine.Expired
	Removed   = machine.Removed
)

// The kinds of due reports.
const (
	ReportFailure = machine.ReportFailure
	ReportDelay   = machine.ReportDelay
	ReportSuccess = machine.ReportSuccess
)

// The kinds of suspensions.
const (
	SuspendDomain   = machine.SuspendDomain
	SuspendSite     = machine.SuspendSite
	SuspendTenant   = machine.SuspendTenant
	SuspendCampaign = machine.SuspendCampaign
)

// ParseResult reads a result of a group whose queue this member does not have.
func ParseResult(b []byte) (any, error) { return machine.ParseResult(b) }
