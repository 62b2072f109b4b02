package record

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Report is the outcome of Check. It counts recipients, where it does not say messages.
type Report struct {
	Sent     int `json:"sent"`     // messages, all attempts
	Messages int `json:"messages"` // of these, accepted for somebody
	Received int `json:"received"` // transactions
	// of these, without an ID of ours, or with the null reverse-path: reports and the like
	Foreign      int `json:"foreign"`
	Acknowledged int `json:"acknowledged"` // accepted by a 2xx
	Delivered    int `json:"delivered"`    // of these, arrived
	Uncertain    int `json:"uncertain"`    // no reply to the end of the data
	Arrived      int `json:"arrived"`      // of these, arrived all the same
	NotSent      int `json:"not_sent"`

	// SentOpen and ReceivedOpen say whose record was still being written: then this is a look in
	// between, and what is missing may come yet.
	SentOpen     bool `json:"sent_open,omitempty"`
	ReceivedOpen bool `json:"received_open,omitempty"`
	// Early arrived before the generator's record told of it.
	Early int `json:"early,omitempty"`
	// Awaited was acknowledged, has not arrived, and may come yet.
	Awaited Tally `json:"awaited,omitzero"`

	Lost       Tally `json:"lost"`       // acknowledged, not arrived
	Changed    Tally `json:"changed"`    // arrived with another content
	Duplicated Tally `json:"duplicated"` // arrived too often, without an excuse
	Excused    Tally `json:"excused"`    // arrived too often, as the rules allow
	Unexpected Tally `json:"unexpected"` // arrived, and was not sent, or was refused
	Reordered  Tally `json:"reordered"`  // arrived after what was sent later
	Refused    Tally `json:"refused"`    // the reply was a 4xx or 5xx

	Domains []DomainRate `json:"domains"` // of what was received, by name
}

// Copy is one arrival.
type Copy struct {
	Client    netip.Addr `json:"client"`
	Connected time.Time  `json:"connected"`
	Accepted  time.Time  `json:"accepted"`
}

func copyOf(r *Received) Copy {
	return Copy{Client: r.Client.Addr(), Connected: r.Connected, Accepted: r.Accepted}
}

// Finding is one recipient of one message.
type Finding struct {
	ID        string `json:"id"`
	QueueID   string `json:"queue_id,omitempty"`
	Recipient string `json:"recipient"`
	Code      uint16 `json:"code,omitempty"` // of a refusal
	Why       string `json:"why,omitempty"`
	Copies    []Copy `json:"copies,omitempty"` // where they matter
}

func (f Finding) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s to=<%s>", f.ID, f.Recipient)
	if f.QueueID != "" {
		fmt.Fprintf(&b, " queue=%s", f.QueueID)
	}
	if f.Code != 0 {
		fmt.Fprintf(&b, " code=%d", f.Code)
	}
	for _, c := range f.Copies {
		fmt.Fprintf(&b, " %s@%s", c.Client, c.Accepted.Format("15:04:05.000"))
	}
	if f.Why != "" {
		b.WriteString(": " + f.Why)
	}
	return b.String()
}

// maxFindings are kept of each kind.
const maxFindings = 20

// Tally counts findings and keeps the first few.
type Tally struct {
	N     int       `json:"n"`
	First []Finding `json:"first,omitempty"`
}

func (t *Tally) add(f Finding) {
	t.N++
	if len(t.First) < maxFindings {
		t.First = append(t.First, f)
	}
}

// OK reports whether nothing was lost, changed, duplicated without an excuse, unexpected or out of
// order. Refusals are no fault of integrity.
func (r *Report) OK() bool {
	return r.Lost.N+r.Changed.N+r.Duplicated.N+r.Unexpected.N+r.Reordered.N == 0
}

// Final reports whether nothing of what was sent is still to be judged: the generator's record is
// whole, and everything in it that was acknowledged has arrived or will not.
func (r *Report) Final() bool { return !r.SentOpen && r.Early+r.Awaited.N == 0 }

// between says of a look in between what it is, else "".
func (r *Report) between() string {
	who := "the receiving server is"
	switch {
	case r.SentOpen && r.ReceivedOpen:
		who = "the generator and the receiving server are"
	case r.SentOpen:
		who = "the generator is"
	case !r.ReceivedOpen:
		return ""
	}
	text := fmt.Sprintf("A look in between: %s still at it. %d recipients are awaited, which is "+
		"no loss yet", who, r.Awaited.N)
	if r.SentOpen {
		text += fmt.Sprintf(", and %d arrived that the generator's record does not tell of yet",
			r.Early)
	}
	return text + ".\n"
}

// String is a summary, with the first few of each kind of finding.
func (r *Report) String() string {
	var b strings.Builder
	b.WriteString(r.between())
	fmt.Fprintf(&b, "%d messages sent, %d accepted, %d received (%d foreign)\n", r.Sent, r.Messages,
		r.Received, r.Foreign)
	fmt.Fprintf(&b,
		"%d recipients acknowledged: %d delivered, %d lost, %d changed, %d duplicated, %d "+
			"duplicated and excused, %d unexpected, %d out of order\n",
		r.Acknowledged, r.Delivered, r.Lost.N, r.Changed.N, r.Duplicated.N, r.Excused.N,
		r.Unexpected.N, r.Reordered.N)
	fmt.Fprintf(&b, "%d recipients refused, %d not sent, %d uncertain, of which %d arrived\n",
		r.Refused.N, r.NotSent, r.Uncertain, r.Arrived)
	for _, kind := range []struct {
		name string
		t    *Tally
	}{{"lost", &r.Lost}, {"awaited", &r.Awaited}, {"changed", &r.Changed},
		{"duplicated", &r.Duplicated}, {"unexpected", &r.Unexpected},
		{"out of order", &r.Reordered}, {"refused", &r.Refused}} {
		for _, f := range kind.t.First {
			fmt.Fprintf(&b, "%s: %v\n", kind.name, f)
		}
		if more := kind.t.N - len(kind.t.First); more > 0 {
			fmt.Fprintf(&b, "%s: and %d more\n", kind.name, more)
		}
	}
	return b.String()
}
