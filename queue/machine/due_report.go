package machine

import "github.com/postroad/postroad/internal/mail"

// ReportKind says what a due report is about.
type ReportKind uint8

const (
	ReportFailure ReportKind = iota + 1 // recipients Failed or Expired
	ReportDelay                         // recipients still being tried
	// recipients Delivered, Relayed to a hop without DSN, or Expanded (NOTIFY=SUCCESS)
	ReportSuccess
)

// ReportID names a due report: one message, one applied command, one kind.
type ReportID struct {
	ID    mail.ID
	Index uint64
	Kind  ReportKind
}

// Report is a report that is due to a message's sender.
type Report struct {
	ID ReportID
	// the message reported on; its content is there until the report was accepted
	Message    *Message
	Recipients []ReportRecipient
}

// ReportRecipient is one recipient's share of a report.
type ReportRecipient struct {
	Number  uint32
	State   State // Failed, Expired, Delivered, Relayed, Expanded; a delay: Deferred
	Attempt mail.Attempt
}
