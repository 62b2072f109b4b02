package mailtest

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Rules say which duplicates SMTP cannot rule out: a further copy is excused when the one before came over a connection of a process that was
// killed in that transaction, or less than Window after the sink wrote its 250 for it. What the kernel still had of the
// dead process's octets may be answered a little after the kill.
type Rules struct {
	Kills  []time.Time   // when the killed processes were gone
	Window time.Duration // default 2 s
}

// Report is the outcome of Compare. A finding is about one recipient of one message.
type Report struct {
	Acknowledged int // recipients for whom the sender had a 250
	Delivered    int // of these, those for whom the sink has the message
	Uncertain    int // recipients without a reply, delivered all the same

	Lost       []Finding // acknowledged, not delivered
	Changed    []Finding // delivered with another content
	Duplicated []Finding // delivered more than once, without an excuse
	Excused    []Finding // delivered more than once, as the rules allow
	Unexpected []Finding // delivered to a recipient it was not sent to, or refused for
	Foreign    int       // deliveries without an ID of ours: reports and the like
}

// Finding is one recipient of one message.
type Finding struct {
	ID, Recipient, QueueID string
	Copies                 int
	Times                  []time.Time // of the copies
}

func (f Finding) String() string {
	s := fmt.Sprintf("%s to=<%s> queue=%s copies=%d", f.ID, f.Recipient, f.QueueID, f.Copies)
	for _, t := range f.Times {
		s += t.Format(" 15:04:05.000")
	}
	return s
}

// OK reports whether nothing was lost, changed, duplicated or unexpected.
func (r *Report) OK() bool {
	return len(r.Lost)+len(r.Changed)+len(r.Duplicated)+len(r.Unexpected) == 0
}

// String is a summary, with the first few of each kind of finding.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d acknowledged, %d delivered, %d lost, %d changed, %d duplicated, %d duplicated and excused, %d unexpected, %d uncertain, %d foreign\n",
		r.Acknowledged, r.Delivered, len(r.Lost), len(r.Changed), len(r.Duplicated), len(r.Excused), len(r.Unexpected), r.Uncertain, r.Foreign)
	for _, kind := range []struct {
		name string
		list []Finding
	}{{"lost", r.Lost}, {"changed", r.Changed}, {"duplicated", r.Duplicated}, {"unexpected", r.Unexpected}} {
		for i, f := range kind.list {
			if i == 10 {
				fmt.Fprintf(&b, "%s: and %d more\n", kind.name, len(kind.list)-i)
				break
			}
			fmt.Fprintf(&b, "%s: %v\n", kind.name, f)
		}
	}
	return b.String()
}

// key is one recipient of one message. Domains do not differ in case.
type key struct{ id, recipient string }

func keyOf(id, recipient string) key {
	if at := strings.LastIndexByte(recipient, '@'); at >= 0 {
		recipient = recipient[:at] + strings.ToLower(recipient[at:])
	}
	return key{id, recipient}
}

// copies are the deliveries for one key.
type copies struct {
	spans   []span
	changed bool
}

// span is the time of one delivery: when its connection was opened, and when the 250 was written.
type span struct{ connected, accepted time.Time }

func (c *copies) times() []time.Time {
	var t []time.Time
	for _, s := range c.spans {
		t = append(t, s.accepted)
	}
	return t
}

// Compare holds what was sent against what was delivered.
func Compare(sent []Sent, got []Delivery, rules Rules) *Report {
	if rules.Window == 0 {
		rules.Window = 2 * time.Second
	}
	r := &Report{}
	sums := make(map[string]Sum, len(sent))
	for i := range sent {
		sums[sent[i].ID] = sent[i].Sum
	}
	delivered := gather(r, sums, got)
	for i := range sent {
		r.settle(&sent[i], delivered, rules)
	}
	for k, c := range delivered {
		r.Unexpected = append(r.Unexpected, Finding{ID: k.id, Recipient: k.recipient, Copies: len(c.spans), Times: c.times()})
	}
	return r
}

func gather(r *Report, sums map[string]Sum, got []Delivery) map[key]*copies {
	delivered := make(map[key]*copies, len(got))
	for i := range got {
		d := &got[i]
		sum, ours := sums[d.ID]
		if d.ID == "" || d.Sender == "" { // a report carries the message it is about, and so its ID
			r.Foreign++
			continue
		}
		for _, rcpt := range d.Recipients {
			k := keyOf(d.ID, rcpt)
			c := delivered[k]
			if c == nil {
				c = &copies{}
				delivered[k] = c
			}
			c.spans = append(c.spans, span{d.Connected, d.Accepted})
			c.changed = c.changed || (ours && sum != d.Sum)
		}
	}
	return delivered
}

// settle judges one message and takes its copies out of delivered.
func (r *Report) settle(s *Sent, delivered map[key]*copies, rules Rules) {
	for _, rcpt := range s.Accepted {
		k := keyOf(s.ID, rcpt)
		f := Finding{ID: s.ID, Recipient: rcpt, QueueID: s.QueueID}
		r.Acknowledged++
		c := delivered[k]
		if c == nil {
			r.Lost = append(r.Lost, f)
			continue
		}
		r.Delivered++
		r.judge(f, c, rules)
		delete(delivered, k)
	}
	for _, rcpt := range s.Unknown {
		k := keyOf(s.ID, rcpt)
		if c := delivered[k]; c != nil {
			r.Uncertain++
			if c.changed { // copies are not judged: the sender may have sent it again
				r.Changed = append(r.Changed, Finding{ID: s.ID, Recipient: rcpt, Copies: len(c.spans), Times: c.times()})
			}
			delete(delivered, k)
		}
	}
}

func (r *Report) judge(f Finding, c *copies, rules Rules) {
	f.Copies, f.Times = len(c.spans), c.times()
	if c.changed {
		r.Changed = append(r.Changed, f)
	}
	switch {
	case f.Copies == 1:
	case rules.excuse(c.spans):
		r.Excused = append(r.Excused, f)
	default:
		r.Duplicated = append(r.Duplicated, f)
	}
}

// excuse reports whether a kill explains each copy but the first.
func (rules Rules) excuse(spans []span) bool {
	slices.SortFunc(spans, func(a, b span) int { return a.accepted.Compare(b.accepted) })
	for _, s := range spans[:len(spans)-1] {
		explained := slices.ContainsFunc(rules.Kills, func(kill time.Time) bool {
			return kill.After(s.connected) && kill.Before(s.accepted.Add(rules.Window))
		})
		if !explained {
			return false
		}
	}
	return true
}
