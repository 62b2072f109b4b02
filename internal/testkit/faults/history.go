package faults

import (
	"fmt"
	"strings"
	"time"

	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// Fault is one thing that went wrong, and whom it made unable to own mail.
type Fault struct {
	Kind     Kind
	What     string    // for people: "SIGKILL n2"
	From     time.Time // just before it began
	Until    time.Time // when its cause was over; zero: it lasted to the end
	Lost     []int     // nodes whose ownership it ended: it hit them, or took their majority away
	UnderWay map[int]int
	// Stuck says that the nodes may have gone on delivering all the time and could not note it:
	// their disk did not take writes.
	Stuck bool
	// Forgot is since when more than a minority forgot what was done: one was damaged, one lagged,
	// and who knew was away. What was delivered since may be delivered again, by somebody who does
	// not know that it was tried. Zero: nobody forgot.
	Forgot time.Time
}

func (f *Fault) String() string {
	s := fmt.Sprintf("%s %s", f.From.Format("15:04:05.000"), f.What)
	if !f.Until.IsZero() {
		s += fmt.Sprintf(" for %.1f s", f.Until.Sub(f.From).Seconds())
	}
	return s
}

// lost reports whether the fault ended a node's ownership.
func (f *Fault) lost(node int) bool {
	for _, n := range f.Lost {
		if n == node {
			return true
		}
	}
	return false
}

// History is all that is known of a run.
type History struct {
	Tries      []Try
	Deliveries []mailtest.Delivery
	Faults     []Fault
	Begun      map[int][]time.Time // when each node began its transactions
	Held       map[string][]string // what queues still hold: recipients by queue ID
	Named      map[string]bool     // queue IDs that a node named when it stopped loudly
	Attempts   Attempts            // what the nodes logged of them; see Again
	Verbs      []Verb              // what operators did
}

// Rules are the figures of the verdict. The zero value has the defaults.
type Rules struct {
	// before a fault: a copy accepted later than this may not have been noted; default 2 s
	Window time.Duration
	Lease  time.Duration // after a node lost its majority, it may own for so long; default 1 s
	Seen   time.Duration // until what a node has begun is seen to be; default 500 ms
	Grace  time.Duration // for what was written by then to arrive here and be answered; default 2 s
}

func (r Rules) orDefaults() Rules {
	if r.Window == 0 {
		r.Window = 2 * time.Second
	}
	if r.Lease == 0 {
		r.Lease = time.Second
	}
	if r.Seen == 0 {
		r.Seen = 500 * time.Millisecond
	}
	if r.Grace == 0 {
		r.Grace = 2 * time.Second
	}
	return r
}

// excuses reports whether f explains that a copy which node delivered was not noted.
func (r Rules) excuses(f *Fault, node int, accepted time.Time) bool {
	if f.forgot(accepted, r) {
		return true
	}
	if !f.lost(node) || accepted.Before(f.From.Add(-r.Window)) {
		return false
	}
	end := f.From
	if f.Stuck {
		end = f.Until
		if end.IsZero() {
			return true
		}
	}
	return !accepted.After(end.Add(r.Lease + r.Grace))
}

// forgot reports whether a delivery is one that was forgotten.
func (f *Fault) forgot(accepted time.Time, r Rules) bool {
	return !f.Forgot.IsZero() && !accepted.Before(f.Forgot.Add(-r.Window)) &&
		!accepted.After(f.From.Add(r.Lease+r.Grace))
}

// Copy is one copy of a message at the receiving server.
type Copy struct {
	Node     int
	Accepted time.Time
}

// Finding is one recipient of one try, and what is wrong.
type Finding struct {
	ID, Recipient, QueueID string
	Told                   string // what the client heard
	Why                    string
	Copies                 []Copy
}

func (f Finding) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s to=<%s> queue=%s", f.ID, f.Recipient, f.QueueID)
	if f.Told != "" {
		fmt.Fprintf(&b, " told %q", f.Told)
	}
	for _, c := range f.Copies {
		fmt.Fprintf(&b, " n%d@%s", c.Node, c.Accepted.Format("15:04:05.000"))
	}
	if f.Why != "" {
		b.WriteString(": " + f.Why)
	}
	return b.String()
}

// tally counts findings and keeps the first few.
type tally struct {
	N     int
	First []Finding
}

// maxFindings are kept of each kind.
const maxFindings = 20

func (t *tally) add(f Finding) {
	t.N++
	if len(t.First) < maxFindings {
		t.First = append(t.First, f)
	}
}
