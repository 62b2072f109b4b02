package queue

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue/machine"
)

// Filter selects recipients. Empty fields select all; the others must all hold.
type Filter struct {
	IDs              []mail.ID
	Domain           string // recipient domain, as A-labels
	Sender           string // whole address, case-insensitive; "<>" is the null reverse-path
	Recipient        string // whole address, case-insensitive
	Tenant, Campaign string
	States           []State   // Ready, InFlight, Deferred, Held
	Before           time.Time // arrived before
}

// All reports whether the filter selects everything.
func (f *Filter) All() bool {
	return len(f.IDs) == 0 && len(f.States) == 0 &&
		f.Domain+f.Sender+f.Recipient+f.Tenant+f.Campaign == "" &&
		f.Before.IsZero()
}

// ranges are the spans of IDs to look at, both ends included.
func (f *Filter) ranges() [][2]mail.ID {
	last := mail.ID(bytes.Repeat([]byte{0xff}, machine.IDLen))
	if !f.Before.IsZero() {
		last = prevID(mail.FloorID(f.Before))
	}
	if len(f.IDs) == 0 {
		return [][2]mail.ID{{{}, last}}
	}
	ids := slices.Clone(f.IDs)
	slices.SortFunc(ids, func(a, b mail.ID) int { return bytes.Compare(a[:], b[:]) })
	var spans [][2]mail.ID
	for _, id := range slices.Compact(ids) {
		if bytes.Compare(id[:], last[:]) <= 0 {
			spans = append(spans, [2]mail.ID{id, id})
		}
	}
	return spans
}

// wants looks at an undecoded record, so that a search over a long queue decodes little.
func (f *Filter) wants(r *machine.Record) bool {
	if f.Sender != "" && !sameAddress(f.Sender, r.Sender) {
		return false
	}
	if f.Domain != "" &&
		!slices.ContainsFunc(
			r.Domains,
			func(d []byte) bool { return strings.EqualFold(string(d), f.Domain) },
		) {
		return false
	}
	if f.Recipient == "" {
		return true
	}
	return slices.ContainsFunc(
		r.Recipients,
		func(v machine.RecipientView) bool { return sameAddress(f.Recipient, v.Address) },
	)
}

func sameAddress(want string, address []byte) bool {
	if want == "<>" {
		return len(address) == 0
	}
	return strings.EqualFold(want, string(address))
}

// selects appends the numbers of the selected recipients. Recipients in a final state are past
// selecting.
func (f *Filter) selects(into []uint32, s *Stored, inFlight func(mail.ID, uint32) bool) []uint32 {
	o := &s.Message.Envelope.Origin
	if f.Tenant != "" && f.Tenant != o.Tenant || f.Campaign != "" && f.Campaign != o.Campaign {
		return into
	}
	for i := range s.Recipients {
		r := &s.Message.Envelope.Recipients[i]
		if s.Recipients[i].State.Final() ||
			f.Domain != "" && !strings.EqualFold(f.Domain, r.Domain) ||
			f.Recipient != "" && !sameAddress(f.Recipient, []byte(r.Address)) {
			continue
		}
		if len(f.States) > 0 && !slices.Contains(f.States, shownState(s, i, inFlight)) {
			continue
		}
		into = append(into, uint32(i))
	}
	return into
}

// shownState is a recipient's state as users see it: InFlight is known to the scheduler only.
func shownState(s *Stored, i int, inFlight func(mail.ID, uint32) bool) State {
	st := s.Recipients[i].State
	if machine.Scheduled(st) && inFlight(s.Message.ID, uint32(i)) {
		return InFlight
	}
	return st
}
