package intake

import (
	"sync"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/internal/smtp"
)

// expansion is a message that has become several, on their way into the queue.
type expansion struct {
	x        *expander
	messages []outgoing
	size     int64
	content  *mail.Shared
	// messageID is that of the content.
	messageID string
	first     mail.Observer // of the message whose ID the client is told, if there is one
	done      func(mail.ID, *smtp.Failure)

	mu      sync.Mutex
	next    int // of messages
	flying  int
	failure *smtp.Failure // the first
	ids     []mail.ID
	noted   []bool // logged
}

// flyingCopies bounds how many copies of one message are on their way at a time.
const flyingCopies = 16

// submit submits as many copies as may be on their way.
func (p *expansion) submit() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.next < len(p.messages) && p.flying < flyingCopies && p.failure == nil {
		i := p.next
		p.next, p.flying = i+1, p.flying+1
		p.mu.Unlock()
		m := &p.messages[i]
		content := p.content.Behind(m.prefix)
		content.Observer = stored{p, i}
		p.x.next.Submit(m.env, content, func(id mail.ID, f *smtp.Failure) {
			p.answered(i, id, f)
		})
		p.mu.Lock()
	}
}

// answered notes what became of one copy. The ID of the first one is the message's.
func (p *expansion) answered(number int, id mail.ID, f *smtp.Failure) {
	p.mu.Lock()
	p.flying--
	if f == nil {
		p.ids[number] = id
	} else if p.failure == nil {
		p.failure = f
	}
	ended := p.flying == 0 && (p.next == len(p.messages) || p.failure != nil)
	p.mu.Unlock()
	if !ended {
		p.submit()
		return
	}
	p.content.Release()
	for i, id := range p.ids { // those that are not logged yet
		if !id.IsZero() {
			p.received(i, id)
		}
	}
	if p.failure != nil {
		p.done(mail.ID{}, p.failure)
		return
	}
	p.done(p.ids[0], nil)
}

// stored observes one copy.
type stored struct {
	p      *expansion
	number int
}

// Stored logs the copy. One that is stored before the first, whose ID it is to name, waits until
// all are.
func (s stored) Stored(id mail.ID) {
	s.p.mu.Lock()
	s.p.ids[s.number] = id
	wait := s.p.ids[0].IsZero()
	s.p.mu.Unlock()
	if !wait {
		s.p.received(s.number, id)
	}
}

// received logs a copy that is stored, once. The session's observer logs the first.
func (p *expansion) received(number int, id mail.ID) {
	p.mu.Lock()
	told, noted := p.ids[0], p.noted[number]
	p.noted[number] = true
	p.mu.Unlock()
	if noted {
		return
	}
	if number == 0 {
		if p.first != nil {
			p.first.Stored(id)
		}
		return
	}
	m, at := &p.messages[number], id.Time()
	origin := &m.env.Origin
	r := &maillog.Record{
		Type: maillog.Reception, At: at, Recipient: m.env.Recipients[0].Address, OrigID: told,
		Code: smtp.Completed, Enhanced: "2.0.0", Text: "Ok: queued as " + id.String(),
		Relay: origin.Helo, Peer: origin.Client, Protocol: origin.Protocol,
		MessageID: p.messageID,
	}
	r.Describe(id, m.env, p.size+int64(len(m.prefix)), at)
	if m.of != r.Recipient {
		r.OrigRecipient = m.of
	}
	p.x.log.Log(r)
}
