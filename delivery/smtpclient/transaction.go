package smtpclient

import (
	"io"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
)

// Transaction is one mail transaction: one message to some recipients. It is the caller's and may
// be used again after Deliver returned.
type Transaction struct {
	Sender     string // reverse-path without brackets; "" is the null reverse-path
	Recipients []mail.Recipient
	Body       mail.BodyType
	SMTPUTF8   bool
	Ret        mail.Ret
	EnvelopeID string

	Size int64 // octets of the content; needed with Open
	// Content is the whole content when it is in memory. Else Open gives it; it may be called
	// several times, because content that may not suit the peer is looked at before it is sent.
	Content []byte
	Open    func() (io.ReadCloser, error)

	// BeforeEnd, when set, is called last before the final segment of the data is written (the
	// lease check of the owner). An error means that nothing was delivered: the connection is
	// closed with the data unfinished.
	BeforeEnd func() error

	// Results, when it has room, is where Deliver puts one Status per recipient.
	Results []Status
}

// Result is what became of a transaction.
type Result struct {
	// Recipients has one Status for each of the transaction's recipients, in their order.
	Recipients []Status
	// Retry: the connection had been used before and ended before the peer answered MAIL. Nothing
	// was attempted; try at once on a new connection.
	Retry bool
	// Aborted: BeforeEnd said no. Nothing was attempted.
	Aborted bool
	// Err is why the connection ended, nil when the peer answered everything.
	Err error
}

// Status is what one recipient, or a connection, got: the peer's reply, or our own finding in the
// same words.
type Status struct {
	Code     int    // reply code; of our own findings too, so that Temporary follows from it
	Enhanced string // enhanced status code (RFC 3463), made from Code when the peer gave none
	Text     string // one printable line, without the codes
	Command  Step   // what was answered
	Reply    int    // the peer's code, as it gave it; 0: there was no reply
	Local    bool   // our own finding: there was no reply
	// Unknown: the content was sent as a whole but its reply was lost. The next attempt may make a
	// duplicate.
	Unknown bool
}

// OK reports whether the peer took the recipient.
func (s *Status) OK() bool { return s.Code/100 == 2 }

// Temporary reports whether a later attempt may succeed.
func (s *Status) Temporary() bool { return s.Code/100 == 4 }

// Failure returns the status as the value that travels to log and report.
func (s *Status) Failure() *smtp.Failure {
	return &smtp.Failure{Code: s.Code, Enhanced: s.Enhanced, Text: s.Text}
}

// Error is why there is no connection, or no more.
type Error struct {
	Status
	// TLS: STARTTLS or its handshake failed; in the clear the peer might work.
	TLS   bool
	Cause error
}

func (e *Error) Error() string {
	f := e.Status.Failure()
	f.Cause, f.Log = e.Cause, e.Command.String()
	return f.Error()
}

func (e *Error) Unwrap() error { return e.Cause }

// Step is a command of the dialogue, or the place in it where there is none.
type Step uint8

const (
	StepConnect Step = iota
	StepGreeting
	StepEhlo
	StepHelo
	StepStartTLS
	StepHandshake
	StepAuth
	StepMail
	StepRcpt
	StepData
	StepContent // the content, by DATA or BDAT
	StepEnd     // end of mail data
	StepBdat
	StepReset
	StepQuit
	StepIdle // between transactions
)

var stepNames = [...]string{"connect", "greeting", "EHLO", "HELO", "STARTTLS", "TLS handshake",
	"AUTH", "MAIL FROM", "RCPT TO", "DATA",
	"mail data", "end of mail data", "BDAT", "RSET", "QUIT", "idle"}

// String names the step as the log does.
func (s Step) String() string { return stepNames[s] }
