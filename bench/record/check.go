package record

import (
	"hash/maphash"
	"slices"
	"strings"
	"time"
)

// Order says whose messages have to arrive in the order in which they were sent.
type Order uint8

const (
	NoOrder      Order = iota
	ByConnection       // what one connection of the generator sent, in the order in which it did
	// what one recipient gets: a message that was acknowledged before another began arrives before
	// it
	ByRecipient
)

// Rules say what Check looks at and what it excuses. The zero value asks for no order and excuses
// nothing.
type Rules struct {
	Order Order
	// Kills are when processes that were killed were gone. A further copy is excused when the one
	// before came over a connection of a process that was killed in that transaction, or less than
	// Window before the kill: what SMTP cannot rule out. What the kernel still had of the dead
	// process's octets may be answered a little after the kill.
	Kills  []time.Time
	Window time.Duration // default 2 s
	// SentOpen and ReceivedOpen say that the writer of that log is still at it: what the log lacks
	// may come yet, and is counted as Early and as Awaited, not as unexpected and lost.
	SentOpen, ReceivedOpen bool
}

// Check compares what was sent with what was received. It looks at each log up to three times, so
// neither should grow meanwhile. A further entry of the same ID and recipient among what was sent
// is another attempt: what was accepted twice has to arrive twice.
func Check(sent *SentLog, received *ReceivedLog, rules Rules) *Report {
	if rules.Window == 0 {
		rules.Window = 2 * time.Second
	}
	c := &checker{rules: rules, r: &Report{SentOpen: rules.SentOpen,
		ReceivedOpen: rules.ReceivedOpen}, seeds: [2]maphash.Seed{maphash.MakeSeed(),
		maphash.MakeSeed()}, index: make(map[key]int32, sent.Len())}
	for s := range sent.All() {
		c.sent(s)
	}
	order := newSequence(rules.Order, c)
	rates := newRates()
	for r := range received.All() {
		rates.add(r)
		c.received(r, order)
	}
	if c.further > 0 {
		c.gatherCopies(received)
	}
	for s := range sent.All() {
		c.settle(s)
	}
	c.r.Domains = rates.list()
	return c.r
}

// key stands for one recipient of one message: two hashes, so that the strings need not be kept.
type key [2]uint64

// slot is what is known of one recipient of one message.
type slot struct {
	sum               Sum
	accepted, unknown uint16 // of the attempts
	copies            uint32
	changed, settled  bool
}

type checker struct {
	rules   Rules
	r       *Report
	seeds   [2]maphash.Seed
	index   map[key]int32 // of slots
	slots   []slot
	order   []place          // of each slot, when an order is asked for
	further int              // slots with more copies than expected
	copies  map[int32][]Copy // of these
}

// keyOf makes the key. Domains do not differ in case (RFC 5321 2.4).
func (c *checker) keyOf(id, recipient string) key {
	if at := strings.LastIndexByte(recipient, '@'); at >= 0 {
		recipient = recipient[:at] + strings.ToLower(recipient[at:])
	}
	parts := [2]string{id, recipient}
	return key{maphash.Comparable(c.seeds[0], parts), maphash.Comparable(c.seeds[1], parts)}
}

// sent makes the slots of one message.
func (c *checker) sent(s *Sent) {
	c.r.Sent++
	for i := range s.Recipients {
		rcpt := &s.Recipients[i]
		k := c.keyOf(s.ID, rcpt.Address)
		at, known := c.index[k]
		if !known {
			at = int32(len(c.slots))
			c.index[k] = at
			c.slots = append(c.slots, slot{sum: s.Sum})
			if c.rules.Order != NoOrder {
				c.order = append(c.order, place{s.Conn, s.Begun.UnixMicro(), s.Ended.UnixMicro()})
			}
		}
		switch rcpt.Outcome {
		case Accepted:
			c.slots[at].accepted++
		case Unknown:
			c.slots[at].unknown++
		}
	}
}

// received counts the copies of one transaction.
func (c *checker) received(r *Received, order *sequence) {
	c.r.Received++
	// a report carries the message that it is about, and so its ID
	if r.ID == "" || r.Sender == "" {
		c.r.Foreign++
		return
	}
	for _, rcpt := range r.Recipients {
		at, known := c.index[c.keyOf(r.ID, rcpt)]
		switch {
		case !known && c.rules.SentOpen:
			c.r.Early++
			continue
		case !known:
			c.r.Unexpected.add(Finding{ID: r.ID, Recipient: rcpt, Why: "nobody sent it",
				Copies: []Copy{copyOf(r)}})
			continue
		}
		s := &c.slots[at]
		s.copies++
		s.changed = s.changed || s.sum != Sum{} && r.Sum != s.sum
		switch {
		case s.accepted == 0 && s.unknown == 0:
			c.r.Unexpected.add(Finding{ID: r.ID, Recipient: rcpt,
				Why: "the sender was told that it was not taken", Copies: []Copy{copyOf(r)}})
		case s.copies == 1:
			order.next(at, r, rcpt)
		case s.copies > uint32(s.accepted) && s.unknown == 0:
			c.further++
		}
	}
}

// gatherCopies finds the copies of what came too often.
func (c *checker) gatherCopies(received *ReceivedLog) {
	c.copies = make(map[int32][]Copy, c.further)
	for r := range received.All() {
		if r.ID == "" || r.Sender == "" {
			continue
		}
		for _, rcpt := range r.Recipients {
			at, known := c.index[c.keyOf(r.ID, rcpt)]
			if s := c.slots[max(at, 0)]; known && s.unknown == 0 && s.accepted > 0 &&
				s.copies > uint32(s.accepted) {
				c.copies[at] = append(c.copies[at], copyOf(r))
			}
		}
	}
}

// settle judges the recipients of one message.
func (c *checker) settle(s *Sent) {
	taken := false
	for i := range s.Recipients {
		rcpt := &s.Recipients[i]
		f := Finding{ID: s.ID, QueueID: s.QueueID, Recipient: rcpt.Address}
		switch rcpt.Outcome {
		case Accepted:
			taken = true
		case Refused:
			f.Code = rcpt.Code
			c.r.Refused.add(f)
		case NotSent:
			c.r.NotSent++
		}
		at := c.index[c.keyOf(s.ID, rcpt.Address)]
		if t := &c.slots[at]; !t.settled {
			t.settled = true
			c.judge(at, t, f)
		}
	}
	if taken {
		c.r.Messages++
	}
}

// judge looks at what arrived for one recipient.
func (c *checker) judge(at int32, s *slot, f Finding) {
	accepted, copies := int(s.accepted), int(s.copies)
	c.r.Acknowledged += accepted
	c.r.Uncertain += int(s.unknown)
	c.r.Delivered += min(accepted, copies)
	c.r.Arrived += min(int(s.unknown), max(copies-accepted, 0))
	for range accepted - copies {
		if c.rules.ReceivedOpen {
			c.r.Awaited.add(f)
		} else {
			c.r.Lost.add(f)
		}
	}
	f.Copies = c.copies[at]
	if s.changed {
		c.r.Changed.add(f)
	}
	switch {
	case len(f.Copies) == 0:
		// copies of what had no reply are not judged: the sender may have sent it again
	case accepted == 1 && c.rules.excuse(f.Copies):
		c.r.Excused.add(f)
	default:
		c.r.Duplicated.add(f)
	}
}

// excuse reports whether a kill explains each copy but the first.
func (rules Rules) excuse(copies []Copy) bool {
	slices.SortFunc(copies, func(a, b Copy) int { return a.Accepted.Compare(b.Accepted) })
	for _, s := range copies[:len(copies)-1] {
		explained := slices.ContainsFunc(rules.Kills, func(kill time.Time) bool {
			return kill.After(s.Connected) && kill.Before(s.Accepted.Add(rules.Window))
		})
		if !explained {
			return false
		}
	}
	return true
}
