package faults

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Verdict is what Check found. The tallies before Duplicates are findings; a good run has none.
type Verdict struct {
	Messages     int // accepted: messages with a 250 for somebody
	Acknowledged int // recipients with a 250
	Delivered    int // of these, arrived
	Waiting      int // of these, still in a queue
	Named        int // of these, neither; but a node that stopped loudly has named their message
	NotTold      int // recipients without a reply to the end of the data, or put off after it
	LateArrivals int // of these, arrived all the same

	Lost       tally // acknowledged, neither here nor in a queue
	Changed    tally // arrived with another content
	Unexcused  tally // a further copy that no fault explains
	Unlogged   tally // a further copy whose attempt was not logged as possible_duplicate
	Refused    tally // refused for good
	Unexpected tally // nobody sent it
	Reports    int   // messages with the null reverse-path: a report where all is accepted is wrong
	Trespass   tally // attempts that a node began after its lease
	Untrue     tally // what an operator was told, and is not so

	Verbs  int // operators' commands
	Unsure int // of these, ended with another status than 0, and promised nothing
	Taken  int // acknowledged recipients that operators have taken out, or may have
	// OfForgotten are answers, and what became of them, that are not so because a majority has
	// forgotten messages, which were named or are among the lost, or what was done to them.
	OfForgotten int
	// deliveries that were stopped while the end of their data was on its way, by a node that a
	// fault hit
	UnderWay int

	Duplicates int // further copies that a fault explains
	Forgotten  int // of these, that nobody could log as possible: a majority had forgotten
	Salvaged   int // further copies of what a salvage put in again, logged as possible ones
	ByFault    []Excused
	unjudged   int // further copies whose log line died with the node that wrote it
}

// Excused are the further copies that one fault explains. From and Until are when the copies before
// them had been accepted, the first and the last, counted from the fault.
type Excused struct {
	N           int
	From, Until time.Duration
}

func (e *Excused) add(after time.Duration) {
	if e.N == 0 {
		e.From, e.Until = after, after
	}
	e.N++
	e.From, e.Until = min(e.From, after), max(e.Until, after)
}

// OK reports whether nothing is wrong.
func (v *Verdict) OK() bool {
	return v.Lost.N+v.Changed.N+v.Unexcused.N+v.Unlogged.N+v.Refused.N+v.Unexpected.N+
		v.Reports+v.Trespass.N+v.Untrue.N == 0
}

func (v *Verdict) String() string {
	var b strings.Builder
	fmt.Fprintf(&b,
		"%d messages accepted for %d recipients: %d delivered, %d waiting, %d lost, %d changed, "+
			"%d without an excuse for a further copy\n",
		v.Messages, v.Acknowledged, v.Delivered, v.Waiting, v.Lost.N, v.Changed.N, v.Unexcused.N)
	fmt.Fprintf(&b,
		"%d further copies explained by faults (%d not logged as possible_duplicate, %d logs "+
			"lost with their node); %d not told, of which %d arrived\n",
		v.Duplicates, v.Unlogged.N, v.unjudged, v.NotTold, v.LateArrivals)
	if v.Salvaged > 0 {
		fmt.Fprintf(&b, "%d further copies of what a salvage put in again\n", v.Salvaged)
	}
	fmt.Fprintf(&b, "%d refused, %d unexpected, %d reports, %d attempts after a lease\n",
		v.Refused.N, v.Unexpected.N, v.Reports, v.Trespass.N)
	if v.Verbs > 0 {
		fmt.Fprintf(&b,
			"%d verbs, %d of them without a promise, %d untrue, %d not so because of what was "+
				"forgotten; "+
				"%d recipients taken out, %d deliveries under way when they were stopped\n",
			v.Verbs, v.Unsure, v.Untrue.N, v.OfForgotten, v.Taken, v.UnderWay)
	}
	for _, kind := range []struct {
		name string
		t    *tally
	}{{"lost", &v.Lost}, {"changed", &v.Changed}, {"unexcused", &v.Unexcused},
		{"not logged", &v.Unlogged},
		{"refused", &v.Refused}, {"unexpected", &v.Unexpected}, {"after its lease", &v.Trespass},
		{"untrue", &v.Untrue}} {
		for _, f := range kind.t.First {
			fmt.Fprintf(&b, "%s: %v\n", kind.name, f)
		}
		if more := kind.t.N - len(kind.t.First); more > 0 {
			fmt.Fprintf(&b, "%s: and %d more\n", kind.name, more)
		}
	}
	return b.String()
}

// Faults lists the faults, each with the further copies that it explains beside the transactions
// that were under way.
func (v *Verdict) Faults(h *History) string {
	var b strings.Builder
	for i := range h.Faults {
		f := &h.Faults[i]
		under := 0
		for _, n := range f.Lost {
			under += f.UnderWay[n]
		}
		e := &v.ByFault[i]
		fmt.Fprintf(&b, "%3d  %-60s %4d further copies, %4d transactions under way", i+1, f, e.N,
			under)
		if e.N > 0 {
			fmt.Fprintf(&b, "; the first copies came %+.2f to %+.2f s from its begin",
				e.From.Seconds(), e.Until.Seconds())
		}
		b.WriteString("\n")
	}
	return b.String()
}

// key is one recipient of one try.
type key struct{ id, recipient string }

// arrival is all copies for one key.
type arrival struct {
	copies  []Copy
	changed bool
}

// Check judges a run.
func Check(h *History, rules Rules) *Verdict {
	c := &checker{h: h, rules: rules.orDefaults(),
		v: &Verdict{ByFault: make([]Excused, len(h.Faults))}, arrived: map[key]*arrival{},
		taken: map[string]bool{}, failed: map[string]bool{}}
	c.operators()
	c.gather()
	for i := range h.Tries {
		c.try(&h.Tries[i])
	}
	for k, a := range c.arrived {
		c.v.Unexpected.add(Finding{ID: k.id, Recipient: k.recipient, Copies: a.copies})
	}
	c.trespass()
	c.told()
	return c.v
}

type checker struct {
	h       *History
	rules   Rules
	v       *Verdict
	arrived map[key]*arrival
	fates   []*fate
	taken   map[string]bool // queue IDs that operators have taken out, or may have
	failed  map[string]bool // senders who may get a report
}

// gather sorts what arrived by recipient.
func (c *checker) gather() {
	sums := make(map[string]*Try, len(c.h.Tries))
	for i := range c.h.Tries {
		sums[c.h.Tries[i].ID] = &c.h.Tries[i]
	}
	for i := range c.h.Deliveries {
		d := &c.h.Deliveries[i]
		if d.Sender == "" {
			if !slices.ContainsFunc(d.Recipients, func(r string) bool { return c.failed[r] }) {
				c.v.Reports++
			}
			continue
		}
		sent := sums[d.ID]
		for _, r := range d.Recipients {
			k := key{d.ID, r}
			a := c.arrived[k]
			if a == nil {
				a = &arrival{}
				c.arrived[k] = a
			}
			a.copies = append(a.copies, Copy{numberOf(d.Remote.Addr()), d.Accepted})
			a.changed = a.changed || sent != nil && sent.Sum != d.Sum
		}
	}
	for _, a := range c.arrived {
		slices.SortFunc(a.copies, func(a, b Copy) int { return a.Accepted.Compare(b.Accepted) })
	}
}

// try judges one try, and takes what arrived of it away.
func (c *checker) try(t *Try) {
	if len(t.Accepted) > 0 {
		c.v.Messages++
	}
	for _, r := range t.Accepted {
		c.v.Acknowledged++
		f := Finding{ID: t.ID, Recipient: r, QueueID: t.QueueID, Told: "250"}
		switch a := c.take(t.ID, r); {
		case a != nil:
			c.v.Delivered++
			c.judge(f, a)
		case slices.Contains(c.h.Held[t.QueueID], r):
			c.v.Waiting++
		case c.h.Named[t.QueueID]:
			c.v.Named++
		case c.taken[t.QueueID]:
			c.v.Taken++
		default:
			f.Why = "accepted by n" + fmt.Sprint(t.Node) + " at " + t.At.Format("15:04:05.000")
			c.v.Lost.add(f)
		}
	}
	for _, r := range slices.Concat(t.Unknown, t.PutOff) {
		c.v.NotTold++
		if a := c.take(t.ID, r); a != nil {
			c.v.LateArrivals++
			c.judge(Finding{ID: t.ID, Recipient: r, Told: cmp.Or(t.Late, "nothing")}, a)
		}
	}
	for _, r := range t.Refused {
		c.v.Refused.add(Finding{ID: t.ID, Recipient: r.Recipient, Told: r.Reply})
	}
}

func (c *checker) take(id, recipient string) *arrival {
	k := key{id, recipient}
	a := c.arrived[k]
	delete(c.arrived, k)
	return a
}

// judge looks at what arrived for one recipient.
func (c *checker) judge(f Finding, a *arrival) {
	f.Copies = a.copies
	if a.changed {
		c.v.Changed.add(f)
	}
	for i := range a.copies[1:] {
		c.further(f, a.copies[i], a.copies[i+1])
	}
}

// further judges a copy that came after another.
func (c *checker) further(f Finding, before, copy Copy) {
	at := -1
	for i := range c.h.Faults {
		if c.rules.excuses(&c.h.Faults[i], before.Node, before.Accepted) {
			at = i
		}
	}
	if at < 0 && c.salvaged(f, copy) {
		c.v.Salvaged++
		return
	}
	if at < 0 {
		f.Why = fmt.Sprintf("n%d delivered it at %s and had no fault then", before.Node,
			before.Accepted.Format("15:04:05.000"))
		c.v.Unexcused.add(f)
		return
	}
	c.v.Duplicates++
	c.v.ByFault[at].add(before.Accepted.Sub(c.h.Faults[at].From))
	switch logged, known := c.h.Attempts.possible(f.QueueID, f.Recipient, copy); {
	case !logged && c.h.Faults[at].forgot(before.Accepted, c.rules):
		c.v.Forgotten++
	case known && !logged:
		f.Why = fmt.Sprintf("the copy by n%d was not logged as possible_duplicate", copy.Node)
		c.v.Unlogged.add(f)
	case !known && c.logLost(copy):
		c.v.unjudged++
	case !known:
		f.Why = fmt.Sprintf("n%d logged no attempt", copy.Node)
		c.v.Unlogged.add(f)
	}
}

// salvaged reports whether a salvage explains a copy. The others may have delivered a message that
// the node which stopped only knew to be accepted: it is put in again, marked as a possible
// duplicate.
func (c *checker) salvaged(f Finding, copy Copy) bool {
	logged, _ := c.h.Attempts.possible(f.QueueID, f.Recipient, copy)
	return logged && c.h.Named[f.QueueID]
}

// logLost: what a node had in memory of its log goes with it, as what it had of its outcomes does.
func (c *checker) logLost(copy Copy) bool {
	return slices.ContainsFunc(c.h.Faults, func(f Fault) bool {
		return c.rules.excuses(&f, copy.Node, copy.Accepted)
	})
}

// trespass finds attempts that a node began while it had no majority and its lease must have ended.
// A node that is dead or paused begins none, so this is about those that are cut off.
func (c *checker) trespass() {
	for i := range c.h.Faults {
		f := &c.h.Faults[i]
		if f.Kind != Partition && f.Kind != OneWay || f.Until.IsZero() {
			continue
		}
		for _, node := range f.Lost {
			c.within(f, node, f.From.Add(c.rules.Lease+time.Second), f.Until)
		}
	}
}

func (c *checker) within(f *Fault, node int, from, until time.Time) {
	begun := c.h.Begun[node]
	i, _ := slices.BinarySearchFunc(begun, from, time.Time.Compare)
	for ; i < len(begun) && begun[i].Before(until); i++ {
		c.v.Trespass.add(Finding{Why: fmt.Sprintf("n%d began a transaction at %s, though: %v", node,
			begun[i].Format("15:04:05.000"), f)})
	}
}
