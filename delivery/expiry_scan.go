package delivery

import (
	"cmp"
	"time"

	"github.com/postroad/postroad/internal/dsn"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/queue"
)

// Old mail: what is too old expires, what is late is worth a warning. Both are found by walking the
// queue in order of arrival, whether or not anything is attempted for it, so a site that is dead
// for days keeps nobody in the dark. Held mail neither expires nor warns: it waits for the
// operator.

const (
	agesInterval = time.Minute // between two looks at what has grown old
	// looks after which all old messages are walked, for what was passed over while it was being
	// attempted
	agesAfresh = 60
	agesBatch  = 500 // messages settled together
)

// expiryScan walks the messages older than age.
type expiryScan struct {
	age    func(r *Retry) time.Duration // 0: there is nothing to look for
	cursor mail.ID                      // all up to it were looked at
	// outcome returns what is to be settled of one recipient.
	outcome func(m *queue.Stored, number uint32, r *Retry, now time.Time) (queue.Outcome, bool)
	claim   bool // take the messages out of the scheduler's hands
}

// scanExpiry is a goroutine.
func (s *Scheduler) scanExpiry() {
	scans := []*expiryScan{
		{age: func(r *Retry) time.Duration { return r.Expire }, outcome: s.expired, claim: true},
		{age: func(r *Retry) time.Duration { return r.DelayWarning }, outcome: s.delayed}}
	timer := time.NewTimer(agesInterval)
	defer timer.Stop()
	for look := 1; ; look++ {
		select {
		case <-s.ctx.Done():
			return
		case <-timer.C:
		}
		r := s.retry() // one look goes by one schedule
		for _, sw := range scans {
			if look%agesAfresh == 0 {
				sw.cursor = mail.ID{}
			}
			if age := sw.age(r); age > 0 && age <= r.Expire {
				s.scanOld(sw, r)
			}
		}
		timer.Reset(agesInterval)
	}
}

// scanOld looks at all messages that have become older than the scan's age since it last did.
func (s *Scheduler) scanOld(sw *expiryScan, r *Retry) {
	for s.ctx.Err() == nil && s.o.owns() {
		now := s.o.Now()
		var batch []*queue.Stored
		last := sw.cursor
		err := s.queue.ScanArrived(sw.cursor, now.Add(-sw.age(r)), func(m *queue.Stored) bool {
			batch = append(batch, m)
			last = m.Message.ID
			return len(batch) < agesBatch
		})
		if err != nil {
			s.o.Logf("looking for old messages: %v", err)
			return
		}
		if len(batch) == 0 || !s.settleOld(sw, r, batch, now) {
			return
		}
		sw.cursor = last
	}
}

// settleOld settles what a scan found, and reports whether it could.
func (s *Scheduler) settleOld(
	sw *expiryScan, r *Retry, batch []*queue.Stored, now time.Time,
) bool {
	busy := s.busy(batch, sw.claim)
	defer s.aged()
	var outcomes []queue.Outcome
	for _, m := range batch {
		for i := range m.Recipients {
			n := uint32(i)
			if _, ok := busy[attemptKey{m.Message.ID, n}]; ok || m.Recipients[i].State.Final() ||
				m.Recipients[i].State == queue.Held {
				continue
			}
			if o, ok := sw.outcome(m, n, r, now); ok {
				outcomes = append(outcomes, o)
			}
		}
	}
	if len(outcomes) == 0 {
		return true
	}
	s.countAged(batch, outcomes)
	if s.abandoned.Load() {
		return false
	}
	done := make(chan error, 1)
	if !s.queue.Settle(outcomes, func(err error) { done <- err }) &&
		s.queue.SettleRoom(s.ctx) != nil {
		return false
	}
	select {
	case err := <-done:
		return err == nil
	case <-s.ctx.Done():
		return false
	}
}

// attemptKey names a recipient.
type attemptKey struct {
	id     mail.ID
	number uint32
}

// busy returns the recipients of a batch that are being attempted or whose outcome is being
// recorded. With claim, those that wait in memory are taken out of it; they are too old to come
// back.
func (s *Scheduler) busy(batch []*queue.Stored, claim bool) map[attemptKey]struct{} {
	ids := make(map[mail.ID]struct{}, len(batch))
	for _, m := range batch {
		ids[m.Message.ID] = struct{}{}
	}
	now := s.lock()
	defer s.unlock(now)
	s.mu.core.expiring.ids = ids
	busy := s.mu.core.busy(ids, claim)
	for _, m := range batch { // what may go to another group meanwhile grows old there
		if _, leaves := s.mu.core.leaving[m.Message.ID]; leaves {
			for n := range m.Recipients {
				busy[attemptKey{m.Message.ID, uint32(n)}] = struct{}{}
			}
		}
	}
	return busy
}

// expiring is a batch of old messages from when it was looked through until what became of it is
// recorded. Loads pass over them meanwhile: an operator may make due again what is about to be
// reported expired.
type expiring struct {
	ids    map[mail.ID]struct{}
	passed []expiryRow
}

// expiryRow is a row that a load passed over.
type expiryRow struct {
	key destKey
	at  row
}

// pass reports whether a load is to pass over an item, and notes it.
func (a *expiring) pass(d *destination, it *queue.Item) bool {
	_, ok := a.ids[it.Message.ID]
	if ok {
		a.passed = append(a.passed, expiryRow{d.key, rowOf(it)})
	}
	return ok
}

// aged ends the present batch of old messages. What loads passed over is looked for again: it may
// be there still.
func (s *Scheduler) aged() {
	now := s.lock()
	defer s.unlock(now)
	c := s.mu.core
	passed := c.expiring.passed
	c.expiring = expiring{}
	for _, p := range passed {
		if d := c.dests[p.key]; d != nil { // else nothing of it was read yet
			d.rewind(p.at)
			c.wantMore(d)
		}
	}
}

func (c *core) busy(ids map[mail.ID]struct{}, claim bool) map[attemptKey]struct{} {
	busy := map[attemptKey]struct{}{}
	note := func(e *entry) {
		if _, ok := ids[e.item.Message.ID]; ok {
			for _, n := range e.item.Recipients[:e.taken] {
				busy[attemptKey{e.item.Message.ID, n}] = struct{}{}
			}
		}
	}
	c.eachWaiting(func(e *entry) {
		note(e)
		if _, ok := ids[e.item.Message.ID]; ok && claim {
			c.cut(e)
		}
	})
	c.eachBusy(note)
	return busy
}

// tooOld reports whether a recipient's time is up. What an operator released after that has one
// more hour.
func tooOld(arrived, due, now time.Time, expire time.Duration) bool {
	released := due.Sub(arrived) >= expire
	return now.Sub(arrived) >= expire && !(released && now.Sub(due) < releasedFor)
}

const releasedFor = time.Hour

// expired is what becomes of a recipient that is too old (RFC 5321 4.5.4.1).
func (s *Scheduler) expired(
	m *queue.Stored, n uint32, r *Retry, now time.Time,
) (queue.Outcome, bool) {
	if !tooOld(m.Message.Arrived, m.Recipients[n].Due, now, r.Expire) {
		return queue.Outcome{}, false
	}
	o := s.agedOutcome(m, n, queue.Expired)
	s.logAged(maillog.Expiration, m, &o, now)
	return o, true
}

// delayed is the warning for a recipient that is late, if the sender wants one (RFC 3461 4.1).
func (s *Scheduler) delayed(
	m *queue.Stored, n uint32, r *Retry, now time.Time,
) (queue.Outcome, bool) {
	env := m.Message.Envelope
	if m.Recipients[n].Warned || now.Sub(m.Message.Arrived) >= r.Expire ||
		!dsn.Calls(env.Sender, env.Recipients[n].Notify, dsn.Delayed) {
		return queue.Outcome{}, false
	}
	// Nothing but the warning: the attempt is recorded already, so the queue leaves the due time as
	// it is. Where there was none it is the time at which the first is due.
	o := s.agedOutcome(m, n, queue.Deferred)
	o.Due, o.Warn = o.WasDue, true
	if last := &m.Recipients[n].Last; !last.At.IsZero() {
		o.Attempt = *last
	}
	s.logAged(maillog.Delayed, m, &o, now)
	return o, true
}

// A sender is told this of mail that was never attempted, where its host is not to blame. The
// reason of a suspension is the operators'.
const (
	suspendedText = "delivery was suspended by an operator"
	turnText      = "its turn to be sent has not come yet"
)

// agedOutcome is an outcome without an attempt: the last one says why. Where none was ever made,
// the site's reason does.
func (s *Scheduler) agedOutcome(m *queue.Stored, n uint32, state queue.State) queue.Outcome {
	st := &m.Recipients[n]
	o := queue.Outcome{
		ID: m.Message.ID, Recipient: n, Domain: m.Message.Envelope.Recipients[n].Domain,
		WasDue: st.Due, State: state,
	}
	if st.Last.At.IsZero() {
		o.Attempt, _, _ = s.Reason(o.Domain)
		o.Attempt.At = time.Time{}
		if _, ok := s.Suspension(o.Domain, &m.Message.Envelope.Origin); ok {
			o.Attempt = mail.Attempt{Text: suspendedText}
		}
		o.Attempt.Text = cmp.Or(o.Attempt.Text, turnText)
		o.Attempt.Enhanced = cmp.Or(o.Attempt.Enhanced, "4.4.7")
	}
	return o
}

func (s *Scheduler) logAged(typ maillog.Type, m *queue.Stored, o *queue.Outcome, now time.Time) {
	st := &m.Recipients[o.Recipient]
	last := &st.Last
	if last.At.IsZero() {
		last = &o.Attempt
	}
	msg := m.Message
	r := &maillog.Record{Type: typ, At: now, Attempts: st.Attempts}
	r.Describe(msg.ID, msg.Envelope, msg.Size, msg.Arrived)
	r.To(&msg.Envelope.Recipients[o.Recipient])
	r.Queue = o.Domain
	r.Delays[1] = now.Sub(msg.Arrived)
	setAnswer(r, last)
	s.o.Log.Log(r)
}
