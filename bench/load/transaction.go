package load

// send begins an attempt: its first command, or all up to the first reply that has to be awaited.
func (s *session) send(m *message) {
	s.begun++
	s.flight = append(s.flight, m)
	m.begin(s.now)
	s.mail(m)
	if s.pipelining() == PipelineOff {
		return
	}
	for i := m.at; i < len(m.rcpts); i = m.next(i + 1) {
		s.rcpt(m, i)
	}
	if s.bdat() {
		s.write(m)
	} else {
		s.say("DATA")
	}
}

func (s *session) mail(m *message) {
	o := s.o
	o.out = append(append(append(o.out, "MAIL FROM:<"...), s.p.o.Envelope.Sender...), '>')
	if s.offers.size {
		o.out = append(o.out, " SIZE="...)
		s.number(m.content.size())
	}
	if m.content.eightBit && s.offers.eightBit {
		o.out = append(o.out, " BODY=8BITMIME"...)
	}
	if s.p.o.Envelope.UTF8 {
		o.out = append(o.out, " SMTPUTF8"...)
	}
	o.out = append(o.out, "\r\n"...)
}

func (s *session) rcpt(m *message, i int) {
	s.o.out = append(s.o.out, "RCPT TO:<"...)
	s.o.out = s.p.maker.appendRecipient(s.o.out, m.number, i)
	s.o.out = append(s.o.out, ">\r\n"...)
}

// transactionReply takes a reply for the oldest message under way.
func (s *session) transactionReply(r reply) {
	if len(s.flight) == 0 { // nothing was asked; a 421 is looked at by the caller
		if r.code != 421 {
			s.abort(errUnasked)
		}
		return
	}
	m, off := s.flight[0], s.pipelining() == PipelineOff
	ok := r.class() == 2
	switch m.stage {
	case stageMail:
		m.stage = stageRcpt
		switch {
		case !ok:
			m.failed = r.code
			if off {
				s.finish(m, r)
			}
		case off:
			s.rcpt(m, m.at)
		}
	case stageRcpt:
		s.rcptReply(m, r, off)
	case stageData:
		s.dataReply(m, r)
	case stageNobody:
		s.finish(m, r)
	case stageChunk:
		s.chunkReply(m, r, off)
	case stageEnd:
		if !m.ended { // in the midst of the data: they are of two minds from now on
			m.failed = r.code
			s.finish(m, r)
			s.abort(errEarly)
			return
		}
		s.finish(m, r)
	}
}

func (s *session) rcptReply(m *message, r reply, off bool) {
	if m.failed == 0 { // else it is a 503, since there is no transaction
		rcpt := &m.rcpts[m.at]
		if rcpt.taken = r.class() == 2; rcpt.taken {
			m.taken++
		} else {
			rcpt.outcome, rcpt.code = refusal(r.code), uint16(r.code)
		}
	}
	m.at = m.next(m.at + 1)
	switch {
	case m.at < len(m.rcpts):
		if off {
			s.rcpt(m, m.at)
		}
	case s.bdat():
		m.stage, m.enveloped = stageChunk, s.now
		switch {
		case off && m.taken == 0:
			s.reset = true
			s.finish(m, r)
		case off:
			s.write(m)
		}
	default:
		m.stage = stageData
		switch {
		case off && m.taken == 0:
			s.reset = true
			s.finish(m, r)
		case off:
			s.say("DATA")
		}
	}
}

// dataReply takes the reply to DATA. A server that says 354 though nobody is to get the message has
// a lone dot coming (RFC 2920 3.1).
func (s *session) dataReply(m *message, r reply) {
	nobody := m.failed != 0 || m.taken == 0
	switch {
	case r.class() == 3 && nobody:
		s.reset = true
		m.stage, m.ended = stageNobody, true
		s.say(".")
	case r.class() == 3:
		m.stage, m.enveloped = stageEnd, s.now
		s.write(m)
	default:
		if !nobody {
			m.failed = badCode(r)
		}
		s.reset = s.reset || m.taken > 0 || m.failed == 0
		s.finish(m, r)
	}
}

// badCode returns the code of a reply that is a refusal, if not by its class then because nothing
// else makes sense.
func badCode(r reply) int {
	if r.class() < 4 {
		return 554
	}
	return r.code
}

func (s *session) chunkReply(m *message, r reply, off bool) {
	m.answered++
	last := m.ended && m.answered == m.chunks
	if r.class() != 2 && m.failed == 0 {
		s.reset = true
		if m.taken > 0 {
			m.failed = badCode(r)
		}
	}
	switch {
	case last:
		s.finish(m, r)
	case !off:
	case m.failed != 0:
		s.finish(m, r)
	default:
		s.write(m)
	}
}

// finish ends an attempt with the reply r.
func (s *session) finish(m *message, r reply) {
	switch {
	case m.failed == 0 && m.taken > 0 && r.class() != 2:
		m.failed = badCode(r)
	case m.failed == 0 && m.taken > 0:
		m.queueID = append(m.queueID[:0], r.queueID()...)
	}
	m.conclude(Accepted, r.code)
	if s.writing == m {
		s.writing = nil
	}
	n := copy(s.flight, s.flight[1:])
	s.flight[n] = nil
	s.flight = s.flight[:n]
	s.own.ended(s.now, m)
}
