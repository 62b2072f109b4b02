package smtpd

import (
	"sync"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/internal/smtp"
)

// maxRefused is how many recipients the record of a refused message names.
const maxRefused = 100

// reception is the record of a message on its way into the queue. It is written as soon as the
// message is stored, by the queue or, if that could not tell, by the session.
type reception struct {
	log    maillog.Sink
	env    *mail.Envelope
	record maillog.Record
	once   sync.Once
}

// newReception describes the session's message, or returns nil when nobody reads it.
func (s *Session) newReception() *reception {
	log := s.l.srv.Log
	if log == maillog.Discard {
		return nil
	}
	r := &reception{log: log, env: s.tx.env}
	s.describe(&r.record, maillog.Reception)
	r.record.Code, r.record.Enhanced = smtp.Completed, "2.0.0"
	return r
}

// queuedAs begins the text of the reply that names the ID.
const queuedAs = "Ok: queued as "

// Stored writes the record, once (mail.Observer). Its time is the command time of the acceptance,
// as that of all that happens to the message afterwards.
func (r *reception) Stored(id mail.ID) {
	r.once.Do(func() {
		c := &r.record
		c.ID, c.At, c.Created = id, id.Time(), id.Time()
		c.Text = string(id.AppendTo(append(make([]byte, 0, len(queuedAs)+mail.IDLen), queuedAs...)))
		c.TracedBy(r.env) // intake may have begun a trace
		r.log.Log(c)
	})
}

// record tells the log and the counters of a refusal.
func (s *Session) record(verb smtp.Verb, f *smtp.Failure) {
	s.l.srv.stats.rejected(f)
	log := s.l.srv.Log
	if log == maillog.Discard {
		return
	}
	r := &maillog.Record{}
	s.describe(r, maillog.Rejection)
	r.Code, r.Enhanced, r.Text, r.Command = f.Code, f.Enhanced, f.LogText(), verb.String()
	switch {
	case s.sasl != nil:
		r.Mechanism, r.User = s.sasl.mechanism, s.sasl.user
	case verb == smtp.Rcpt && s.tx != nil:
		r.Recipient, r.Recipients = s.tx.asked, 1
	case verb == smtp.Mail && s.tx == nil:
		r.Sender, r.Size, s.asked = s.asked.sender, s.asked.size, asked{}
	case s.tx != nil && (verb == smtp.Data || verb == smtp.Bdat):
		for _, to := range s.tx.env.Recipients[:min(len(s.tx.env.Recipients), maxRefused)] {
			r.Refused = append(r.Refused, to.Address)
		}
	}
	log.Log(r)
}

// describe fills in what is known of the client and the transaction.
func (s *Session) describe(r *maillog.Record, t maillog.Type) {
	c := &s.client
	r.Type, r.At, r.Created, r.Relay, r.Peer = t, s.now, s.now, c.Helo, c.Addr
	r.Source, r.Tenant, r.Session = c.Local.Addr(), c.Tenant, c.Session
	if c.TLS != nil {
		r.TLS = smtp.DescribeTLS(*c.TLS)
	}
	if c.User != nil {
		r.User = c.User.Name
	}
	if c.Helo != "" {
		r.Protocol = s.protocol(s.tx != nil && s.tx.env.SMTPUTF8)
	}
	if s.tx != nil {
		s.tx.describe(r)
	}
}

// describe adds what the transaction knows to a record.
func (tx *transaction) describe(r *maillog.Record) {
	r.Sender, r.Recipients, r.Size = tx.env.Sender, len(tx.env.Recipients), tx.size
	r.Campaign, r.MessageID = tx.env.Origin.Campaign, tx.messageID
	if d := tx.data; d != nil { // refused, or not here as a whole
		r.Size, r.Campaign, r.MessageID = d.size, d.header.campaignName(), d.header.messageIDValue()
	}
	if len(tx.env.Recipients) > 0 {
		r.Recipient = tx.env.Recipients[0].Address
	}
	r.TracedBy(tx.env)
}
