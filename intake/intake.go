// Package intake takes mail from the end of its data to the queue. Every door leads through it:
// SMTP and submission today, others later. It finds out where the recipients' mail goes, makes a
// message of its own for each list and each user who forwards, and traces the way if that is
// wished. It decides nothing about the client, which is the door's and policy's part.
package intake

import (
	"go.opentelemetry.io/otel/trace"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/internal/smtp"
)

// Submitter takes a message that its door has accepted. Submit does not block, and owns the content
// from then on. It calls done once, on any goroutine: with the ID under which the message is stored
// for good, or with what the client is to be answered.
type Submitter interface {
	Submit(env *mail.Envelope, content *mail.Content, done func(mail.ID, *smtp.Failure))
}

// Options are what the way in needs. All are required, but Sign and Tracer.
type Options struct {
	// Queue stores the messages.
	Queue Submitter
	// Book says which domains are local and where their recipients' mail goes.
	Book directory.Book
	// Recipients returns the most that one message may have now; an expansion of more becomes
	// several.
	Recipients func() int
	// Log gets a Reception for each further message that an expansion made. The first one's is
	// written by the door, which tells its client the ID.
	Log maillog.Sink
	// Sign returns what signs messages before next takes them; nil: none is signed. A message is
	// signed once, before it becomes several.
	Sign func(next Submitter) Submitter
	// Tracer begins a span for each message, whose context travels with it; nil: none does.
	Tracer trace.Tracer
}

// New returns the way in. Safe for use by several goroutines.
func New(o Options) Submitter {
	var s Submitter = &expander{next: o.Queue, book: o.Book, width: o.Recipients, log: o.Log}
	if o.Sign != nil {
		s = o.Sign(s)
	}
	if o.Tracer != nil {
		s = &traced{next: s, tracer: o.Tracer}
	}
	return s
}
