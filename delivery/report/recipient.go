package report

import (
	"cmp"
	"strings"
	"time"

	"github.com/postroad/postroad/internal/dsn"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue"
)

// recipient is what a report says of one recipient. A peer's words are told as it said them, what
// we found out ourselves in words of ours (RFC 3464 2.3.6); the status is always ours.
func (r *Reporter) recipient(m *queue.Message, due *queue.ReportRecipient) dsn.Recipient {
	rcpt := m.Envelope.Recipients[due.Number]
	d := dsn.Recipient{Address: rcpt.Address, ORcpt: rcpt.ORcpt, Attempt: r.attempt(due.Attempt)}
	undefined := "2.0.0" // RFC 3463 3.1
	switch due.State {
	case queue.Deferred:
		d.Action, undefined = dsn.Delayed, "4.0.0"
		d.RetryUntil = m.Arrived.Add(time.Duration(r.expire.Load()))
	case queue.Delivered:
		d.Action = dsn.Delivered
	case queue.Relayed:
		d.Action = dsn.Relayed
	case queue.Expanded:
		d.Action = dsn.Expanded
	case queue.Expired:
		d.Action, undefined = dsn.Failed, "4.4.7"
		d.Tried = max(r.o.Now().Sub(m.Arrived), time.Second)
		d.Status = "4.4.7" // RFC 3463 3.5: delivery time expired; the last answer says why
		if d.Attempt.Code == 0 && d.Attempt.Enhanced == "4.2.2" {
			d.Status = "5.2.2" // a mailbox here that stayed full
		}
	default:
		d.Action, undefined = dsn.Failed, "5.0.0"
	}
	d.Attempt.Enhanced = cmp.Or(d.Attempt.Enhanced, undefined)
	return d
}

// attempt returns an attempt as a sender may read it. Mailboxes here, and sockets of this machine,
// are no remote hosts. Earlier versions recorded findings of ours with a reply code.
func (r *Reporter) attempt(a mail.Attempt) mail.Attempt {
	switch {
	case a.Remote == r.o.Mailboxes || a.Remote == "":
		a.Remote, a.Code = "", 0
	case strings.HasPrefix(a.Remote, "/"):
		a.Remote = ""
	case a.Code == 0 && a.Text != "" && !strings.Contains(a.Text, a.Remote):
		a.Text = a.Remote + ": " + a.Text
	}
	return a
}
