package delivery

import (
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/queue"
)

// Mail that waits for a host that cannot be reached, or for the DNS, is put off without a write,
// and without an attempt of its own. So that nobody looks for it in vain, the log has a line and an
// event for each message: when its host first fails it, or when it comes to a host that has failed
// already; then, of what is in memory, once in a while.

// tellAgain is how long after all that waited was told it is told again.
const tellAgain = 4 * time.Hour

// told is what a site or a destination remembers of that. Times are milliseconds.
type told struct {
	upTo int64 // what arrived later has not been told
	at   int64 // when all in memory was; 0: never
}

// unreached is a message that waits, for the log.
type unreached struct {
	message  *queue.Message
	numbers  []uint32
	attempts int
	site     string
	why      *mail.Attempt
	next, at time.Time
}

// tellOf has all that waits in memory for d told that was not.
func (c *core) tellOf(d *destination, t told, why mail.Attempt, until, now time.Time) {
	again := now.UnixMilli()-t.at >= tellAgain.Milliseconds()
	for _, f := range d.flows {
		for e := f.list.head; e != nil; e = e.next {
			if again || e.item.Message.Arrived.UnixMilli() > t.upTo {
				c.tell(d, &e.item, e.taken, &why, until, now)
			}
		}
	}
}

// all returns what is remembered after all in memory was told.
func (t told) all(now time.Time) told {
	if now.UnixMilli()-t.at >= tellAgain.Milliseconds() {
		t.at = now.UnixMilli()
	}
	t.upTo = now.UnixMilli()
	return t
}

// tellNew has a message told that comes to a host that has failed already.
func (c *core) tellNew(d *destination, it *queue.Item, now time.Time) {
	t, why, until := &d.told, d.reason, d.until
	switch {
	case d.state == destWaiting:
	case d.state == destAttached && d.site.state == siteDead:
		t, why, until = &d.site.told, d.site.reason, d.site.until
	default:
		return
	}
	c.tell(d, it, 0, &why, until, now)
	t.upTo = max(t.upTo, it.Message.Arrived.UnixMilli())
}

// tell hands to the shell what of an item, but for those recipients that were handed out, is put
// off.
func (c *core) tell(
	d *destination, it *queue.Item, taken int, why *mail.Attempt, until, now time.Time,
) {
	if it.Due.After(until) {
		until = it.Due
	}
	u := unreached{message: it.Message, numbers: it.Recipients[taken:], attempts: it.Attempts,
		why: why, next: until, at: now}
	if d.site != nil {
		u.site = d.site.name
	}
	c.unreached = append(c.unreached, u)
}

// logUnreached writes the records of messages that wait, one per recipient.
func (s *Scheduler) logUnreached(all []unreached) {
	if len(all) == 0 {
		return
	}
	r := &maillog.Record{}
	for i := range all {
		u := &all[i]
		m := u.message
		*r = maillog.Record{Type: maillog.TransientFailure, At: u.at, Site: u.site,
			Attempts: u.attempts, NextAttempt: u.next}
		r.Describe(m.ID, m.Envelope, m.Size, m.Arrived)
		r.Delays[1] = max(0, u.at.Sub(m.Arrived))
		setAnswer(r, u.why)
		for _, n := range u.numbers {
			r.To(&m.Envelope.Recipients[n])
			s.o.Log.Log(r)
		}
	}
}
