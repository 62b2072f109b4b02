package smtpd

import (
	"time"

	"github.com/postroad/postroad/internal/inbound"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
)

// transaction is one mail transaction: from MAIL to the queue's answer, or to whatever ends it
// before.
type transaction struct {
	env     *mail.Envelope // the queue's from Submit on; it does not change then
	refused int            // RCPTs
	asked   string         // the forward-path of the newest RCPT
	data    *receiver      // once mail data may come
	part    inbound.Part   // of the disk
	size    int64          // of the content, once submitted; before, what SIZE said (RFC 1870)
	// messageID is that of the content, once it was received.
	messageID string
	submitted time.Time  // when its data had ended
	reception *reception // once submitted, if somebody reads it
}

// chunk is what is left of a BDAT chunk.
type chunk struct {
	left    int64
	last    bool
	refusal *smtp.Failure // the chunk is swallowed and answered with this
}

func (s *Session) extensions() smtp.Extensions {
	domain := s.l.CompleteDomain
	if domain != "" && !s.l.srv.Policy.Trusts(&s.client) {
		domain = ""
	}
	if !s.client.ESMTP {
		return smtp.Extensions{Domain: domain}
	}
	return smtp.Extensions{Size: true, EightBitMIME: true, BinaryMIME: true, DSN: true,
		SMTPUTF8: true, Auth: s.l.srv.Authenticator != nil, Domain: domain}
}

func (s *Session) mayMail() *smtp.Failure {
	s.renew()
	if s.transactions++; s.transactions > s.set.Limits.Transactions {
		return errTooManyMails
	}
	return s.l.srv.Pressure()
}

func (s *Session) mail(args []byte, o *Output) *smtp.Failure {
	m, f := smtp.ParseMail(args, s.extensions())
	if f != nil {
		return f
	}
	if m.Size > s.set.Limits.MessageSize {
		f = errTooBig
	} else {
		f = s.l.srv.Policy.Mail(&s.client, m.Sender)
	}
	if f != nil {
		s.asked.sender, s.asked.size = m.Sender, m.Size
		return f
	}
	s.client.Declared = m.Size
	s.tx = &transaction{size: m.Size, env: &mail.Envelope{
		Sender: m.Sender, Body: mail.BodyType(m.Body), SMTPUTF8: m.SMTPUTF8, Ret: mail.Ret(m.Ret),
		EnvelopeID: m.EnvelopeID,
	}}
	s.move(stateMail)
	o.say(replyMail)
	return nil
}

func (s *Session) rcpt(args []byte, o *Output) *smtp.Failure {
	if f := s.addRecipient(args); f != nil {
		if s.tx.refused++; s.tx.refused > s.set.Limits.RecipientOvershoot {
			return errRcptFlood
		}
		return f
	}
	if s.state == stateMail {
		s.move(stateRcpt)
	}
	o.say(replyRcpt)
	return nil
}

func (s *Session) addRecipient(args []byte) *smtp.Failure {
	env, ext := s.tx.env, s.extensions()
	ext.SMTPUTF8 = env.SMTPUTF8
	r, f := smtp.ParseRcpt(args, ext)
	s.tx.asked = r.Address
	if f != nil {
		return f
	}
	if len(env.Recipients) >= s.set.Limits.Recipients {
		return errTooManyRcpt
	}
	rcpt := mail.Recipient{Address: r.Address, Domain: r.Domain, Notify: mail.Notify(r.Notify),
		ORcpt: r.ORcpt}
	if f := s.l.srv.Policy.Rcpt(&s.client, env.Sender, &rcpt, len(env.Recipients)); f != nil {
		return f
	}
	env.Recipients = append(env.Recipients, rcpt)
	return nil
}

func (s *Session) mayData() *smtp.Failure {
	if s.tx.env.Body == mail.BodyBinaryMIME {
		return errBinaryData
	}
	return nil
}

func (s *Session) data(_ []byte, o *Output) *smtp.Failure {
	if f := s.beginData(); f != nil {
		return f
	}
	s.move(stateText)
	o.say(replyData)
	return nil
}

// bdat begins a chunk (RFC 3030 2). A refused chunk is swallowed, because the client may have sent
// it already.
func (s *Session) bdat(args []byte, o *Output) *smtp.Failure {
	size, last, f := smtp.ParseBdat(args)
	switch {
	case f != nil:
		return f
	case size > s.set.Limits.MessageSize:
		return errHugeChunk
	case size == 0 && !last && s.tooMuchJunk():
		return errJunk
	}
	if s.state == stateRcpt {
		if f := s.beginData(); f != nil {
			s.move(stateReady) // refuse ends the transaction
			return s.swallow(args, f, o)
		}
	} else if s.dataLeft() < 0 { // chunks by the octet are a slow client, too
		return errSlow
	}
	s.chunk = chunk{left: size, last: last}
	s.move(stateChunk)
	if size == 0 {
		s.endChunk(o)
	}
	return nil
}

// swallow takes a refused chunk's octets and then answers f. When the arguments do not say how many
// octets there are, the failure returned is to be answered at once.
func (s *Session) swallow(args []byte, f *smtp.Failure, o *Output) *smtp.Failure {
	size, _, bad := smtp.ParseBdat(args)
	if bad != nil {
		return bad
	}
	switch {
	case size == 0 || f.Close:
		return f
	case size > s.set.Limits.MessageSize:
		return errHugeChunk
	}
	s.chunk, s.after = chunk{left: size, refusal: f}, s.state
	s.pace = pace{began: s.now}
	s.move(stateChunk)
	return nil
}

// beginData makes the transaction ready for mail data.
func (s *Session) beginData() *smtp.Failure {
	tx := s.tx
	if f := s.l.srv.Policy.Data(&s.client, len(tx.env.Recipients)); f != nil {
		return f
	}
	tx.part = s.l.srv.Space.Begin(s.client.Addr.Addr())
	if s.client.User != nil {
		tx.part.Free()
	}
	if size := s.client.Declared; size > s.set.Limits.InMemory && !tx.part.Grow(size) {
		return errNoRoom
	}
	s.describeOrigin(&tx.env.Origin)
	s.pace = pace{began: s.now}
	tx.data = newReceiver(s.l, s.set, tx.env.Body, &tx.part)
	if w := s.l.srv.Watch; w != nil {
		tx.data.body.watcher = w(&tx.env.Origin)
	}
	tx.data.start(s.appendTrace)
	return nil
}

func (s *Session) describeOrigin(origin *mail.Origin) {
	c := &s.client
	*origin = mail.Origin{Client: c.Addr, Helo: c.Helo, Tenant: c.Tenant, Listener: c.Listener,
		Protocol: s.protocol(s.tx.env.SMTPUTF8)}
	if c.User != nil {
		origin.User = c.User.Name
	}
}

// protocol is the "with" of the trace header.
func (s *Session) protocol(utf8 bool) string {
	c := &s.client
	if s.l.Kind == LMTP {
		return smtp.LMTPProtocol(c.TLS != nil, utf8)
	}
	return smtp.Protocol(c.ESMTP, c.TLS != nil, c.User != nil, utf8)
}

// text takes mail data after DATA.
func (s *Session) text(in []byte, o *Output) int {
	s.since = s.now
	n, done := s.tx.data.text(in)
	s.pace.octets += int64(n)
	if done {
		s.endMessage(o)
	}
	return n
}

// chunkData takes octets of a BDAT chunk.
func (s *Session) chunkData(in []byte, o *Output) int {
	s.since = s.now
	n := int(min(int64(len(in)), s.chunk.left))
	s.pace.octets += int64(n)
	if s.chunk.refusal == nil {
		s.tx.data.binary(in[:n])
	}
	if s.chunk.left -= int64(n); s.chunk.left == 0 {
		s.endChunk(o)
	}
	return n
}

// endChunk answers a chunk whose octets are all here.
func (s *Session) endChunk(o *Output) {
	if f := s.chunk.refusal; f != nil {
		s.move(s.after)
		s.refuse(o, smtp.Bdat, f)
		return
	}
	// after a failed chunk the others are out of order
	if s.chunk.last || s.tx.data.verdict() != nil {
		s.endMessage(o)
		return
	}
	s.move(stateChunks)
	o.say(replyChunk)
}

// endMessage submits what was received, or answers why it is refused. A refused transaction is over
// (RFC 5321 4.1.1.4).
func (s *Session) endMessage(o *Output) {
	tx := s.tx
	content, f := tx.data.finish(s.set.Limits.Received)
	if f == nil && !tx.part.Store(content.Size) {
		content.Release()
		f = errNoRoom
	}
	if f != nil {
		verb, answers := smtp.Data, s.answers(tx)
		if s.state == stateChunk {
			verb = smtp.Bdat
			if !s.chunk.last { // it is the chunk that is answered
				answers = 1
			}
		}
		s.move(stateReady)
		s.refuseEach(o, verb, f, answers)
		return
	}
	if tx.data.eightBit && tx.env.Body == mail.Body7Bit {
		tx.env.Body = mail.Body8BitMIME // what it is counts, not what it was said to be
	}
	tx.env.Origin.Campaign = tx.data.header.campaignName()
	content.MessageID = tx.data.header.messageIDValue()
	tx.messageID = content.MessageID
	tx.size = content.Size
	tx.data.free()
	tx.data = nil
	if tx.reception = s.newReception(); tx.reception != nil {
		content.Observer = tx.reception
	}
	tx.submitted = s.now
	s.move(stateCommitting)
	o.Action, o.Envelope, o.Content = Submit, tx.env, content
}

// Committed is the queue's answer to Submit.
func (s *Session) Committed(now time.Time, id mail.ID, f *smtp.Failure, o *Output) {
	s.now, s.since = now, now
	tx := s.tx
	tx.part.End(true) // after a failure, too, it may lie there
	if f == nil {
		s.l.srv.stats.accepted(tx)
		s.l.srv.Took(now.Sub(tx.submitted))
		if tx.reception != nil {
			tx.reception.Stored(id)
		}
	}
	s.move(stateReady)
	if f != nil {
		s.refuseEach(o, smtp.Data, f, s.answers(tx))
	} else {
		s.tx = nil
		s.errors, s.junk = 0, 0
		for range s.answers(tx) {
			o.say(replyQueued)
			o.Reply = append(id.AppendTo(o.Reply), '\r', '\n')
		}
	}
	s.settle(o)
}

// answers is how many replies the end of a message has: one, or in LMTP one for each recipient that
// was accepted (RFC 2033 4.2).
func (s *Session) answers(tx *transaction) int {
	if s.l.Kind == LMTP {
		return len(tx.env.Recipients)
	}
	return 1
}

// endTransaction gives back what the transaction holds.
func (s *Session) endTransaction() {
	if s.tx != nil && s.tx.data != nil {
		s.tx.data.discard()
	}
	if s.tx != nil {
		s.tx.part.End(false)
	}
	s.tx = nil
}
