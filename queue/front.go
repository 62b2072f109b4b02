package queue

import (
	"strings"
	"sync"

	"github.com/postroad/postroad/internal/fifo"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue/machine"
)

// Bounds of one accept command.
const (
	batchContent  = 256 << 10 // octets of content, unless a single message has more
	batchMessages = 1000
	batchEnvelope = 256 << 10 // octets of envelopes, about
	directSize    = 1 << 20   // larger messages go as chunks before their accept command
)

var (
	failFull     = smtp.Temp(452, "4.3.1", "The queue is full, try again later")
	failStopping = smtp.Temp(451, "4.3.2", "This system is not accepting mail now, try again later")
	failUnknown  = smtp.Temp(
		451,
		"4.3.0",
		"The message could not be stored in time, try again later",
	)
	failContent = smtp.Temp(451, "4.3.0", "The message could not be read back, try again later")
	failDomain  = smtp.Perm(
		553,
		"5.1.3",
		"The domain of a recipient cannot be used, check the address",
	)
	failNobody   = smtp.Perm(554, "5.5.1", "The message has no recipients, give at least one")
	failEnvelope = smtp.Temp(
		452,
		"4.5.3",
		"The envelope is too large, send to fewer recipients at once",
	)
)

// submission is a message on its way to a command. done is called once; with an ID only after the
// command was applied.
type submission struct {
	env     *mail.Envelope
	content *mail.Content
	done    func(mail.ID, *smtp.Failure)
	report  ReportID
	memory  int64 // octets it holds while it waits
	weight  int64 // of them, those of the envelope, about
}

func (s *submission) large() bool { return s.content.Spill != nil || s.content.Size > directSize }

// front holds what waits for a proposer. There is no timer: a proposer that is free takes all that
// waits, so commands are small while there is little to do and grow with the time that commands
// take (adaptive group commit).
type front struct {
	maxBytes int64
	maxCount int
	mu       struct {
		sync.Mutex
		small, large fifo.Queue[submission]
		bytes        int64
		taken        int // with proposers, not answered yet
		stopped      bool
	}
	smallCond, largeCond sync.Cond
}

func newFront(maxBytes int64, maxCount int) *front {
	f := &front{maxBytes: maxBytes, maxCount: maxCount}
	f.smallCond.L, f.largeCond.L = &f.mu, &f.mu
	return f
}

// submit queues a submission or says why not.
func (f *front) submit(s submission) *smtp.Failure {
	if fail := s.check(); fail != nil {
		return fail
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.stopped {
		return failStopping
	}
	if waiting := f.mu.small.Len() + f.mu.large.Len(); waiting > 0 &&
		f.mu.bytes+s.memory > f.maxBytes ||
		waiting >= f.maxCount {
		return failFull
	}
	f.mu.bytes += s.memory
	if s.large() {
		f.mu.large.Push(s)
		f.largeCond.Signal()
	} else {
		f.mu.small.Push(s)
		f.smallCond.Signal()
	}
	return nil
}

// check refuses what has no place in a row, and weighs the rest.
func (s *submission) check() *smtp.Failure {
	e := s.env
	if len(e.Recipients) == 0 {
		return failNobody
	}
	s.weight = int64(128 + len(e.Sender) + len(e.EnvelopeID) + len(e.Origin.Helo))
	for i := range e.Recipients {
		r := &e.Recipients[i]
		if r.Domain == "" || len(r.Domain) > machine.MaxDomain ||
			strings.IndexByte(r.Domain, 0) >= 0 {
			return failDomain
		}
		s.weight += int64(8 + len(r.Address) + len(r.Domain) + len(r.ORcpt))
	}
	if s.weight > directSize {
		return failEnvelope
	}
	s.memory = s.weight + s.content.Size
	if spill := s.content.Spill; spill != nil {
		s.memory -= spill.Size
	}
	return nil
}

// takeSmall waits for submissions and takes as many as fit one command; none when the front has
// stopped and is empty.
func (f *front) takeSmall(into []submission) []submission {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.mu.small.Len() == 0 && !f.mu.stopped {
		f.smallCond.Wait()
	}
	var content, weight int64
	for f.mu.small.Len() > 0 && len(into) < batchMessages {
		s := f.mu.small.First()
		content, weight = content+s.content.Size, weight+s.weight
		if len(into) > 0 && (content > batchContent || weight > batchEnvelope) {
			break
		}
		into = append(into, f.mu.small.Pop())
		f.mu.bytes -= into[len(into)-1].memory
	}
	f.mu.taken += len(into)
	return into
}

// takeLarge waits for a large submission.
func (f *front) takeLarge() (s submission, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.mu.large.Len() == 0 && !f.mu.stopped {
		f.largeCond.Wait()
	}
	if f.mu.large.Len() == 0 {
		return s, false
	}
	s = f.mu.large.Pop()
	f.mu.bytes -= s.memory
	f.mu.taken++
	return s, true
}

// answered says that so many of those taken were.
func (f *front) answered(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.taken -= n
}

// stop keeps new submissions out; those that wait are still taken.
func (f *front) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.stopped = true
	f.smallCond.Broadcast()
	f.largeCond.Broadcast()
}

// drop keeps new submissions out and returns those that wait.
func (f *front) drop() (all []submission) {
	f.stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, q := range []*fifo.Queue[submission]{&f.mu.small, &f.mu.large} {
		for q.Len() > 0 {
			all = append(all, q.Pop())
		}
	}
	f.mu.bytes = 0
	return all
}
