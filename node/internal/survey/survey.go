// Package survey looks through queues from time to time, for metrics: whose mail waits, for whom,
// since when and why. It counts by names that others chose, so all of it has bounds.
package survey

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/postroad/postroad/internal/clock"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue"
)

const (
	// every is how often queues are looked through, at most: a survey of a long queue takes its
	// time, and then the next one waits share times as long, so that looking takes at most a
	// fiftieth of a processor.
	every = time.Minute
	first = 5 * time.Second // after the start
	share = 50
	// names is how many values a label keeps while it is counted, shown how many are told: the
	// largest, and the rest as Other.
	names = 10_000
	shown = 50
)

// Survey has what was found last. The zero Survey has found nothing yet. Safe for use by several
// goroutines.
type Survey struct {
	mu   sync.Mutex
	last Found
}

// Run looks again and again, until ctx ends.
func (s *Survey) Run(ctx context.Context, look func(context.Context) (Found, error)) {
	for pause := first; clock.Pause(ctx, pause); {
		begun := time.Now()
		if f, err := look(ctx); err == nil {
			s.Set(f)
		}
		pause = max(every, share*time.Since(begun))
	}
}

// Set notes what was found.
func (s *Survey) Set(f Found) {
	f.Domains, f.Tenants = f.Domains.top(shown), f.Tenants.top(shown)
	f.Reasons = f.Reasons.top(shown)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = f
}

// Last returns what was found last; its At is zero when nobody has looked.
func (s *Survey) Last() Found {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// Found is what one look has found. It counts recipients.
type Found struct {
	At                        time.Time
	Oldest                    time.Time // arrival of the oldest message; zero: there is none
	Domains, Tenants, Reasons Tally
}

// Tally counts by a name.
type Tally map[string]uint64

// Other stands for all that have no name of their own, None for those of nobody.
const (
	Other = "other"
	None  = "none"
)

func (t Tally) add(name string) {
	if _, known := t[name]; !known && len(t) >= names {
		name = Other
	}
	t[name]++
}

// top keeps the largest, and the rest under Other.
func (t Tally) top(most int) Tally {
	all := slices.SortedFunc(maps.Keys(t), func(a, b string) int {
		return cmp.Or(cmp.Compare(t[b], t[a]), cmp.Compare(a, b))
	})
	kept := Tally{}
	for i, name := range all {
		if i >= most {
			name = Other
		}
		kept[name] += t[all[i]]
	}
	return kept
}

// Look counts what a queue has; ask says why nothing of a domain is attempted now.
func (f *Found) Look(
	ctx context.Context, q *queue.Queue, ask func(string) (mail.Attempt, time.Time, bool),
) error {
	if f.Domains == nil {
		f.Domains, f.Tenants, f.Reasons = Tally{}, Tally{}, Tally{}
	}
	why := remembered(ask)
	_, err := q.List(ctx, queue.Filter{}, func(m *queue.Stored, selected []uint32) bool {
		f.take(m, selected, why)
		return true
	})
	return err
}

// remembered asks once of each domain: what waits for a host or for the DNS is put off without a
// row of its own (delivery/unreached.go).
func remembered(ask func(string) (mail.Attempt, time.Time, bool)) func(string) *mail.Attempt {
	known := map[string]*mail.Attempt{}
	return func(domain string) *mail.Attempt {
		why, asked := known[domain]
		if !asked && len(known) < names {
			if a, _, ok := ask(domain); ok {
				why = &a
			}
			known[domain] = why
		}
		return why
	}
}

// take counts some recipients of a message.
func (f *Found) take(m *queue.Stored, selected []uint32, why func(string) *mail.Attempt) {
	if at := m.Message.Arrived; f.Oldest.IsZero() || at.Before(f.Oldest) {
		f.Oldest = at
	}
	env := m.Message.Envelope
	for _, i := range selected {
		domain := env.Recipients[i].Domain
		f.Domains.add(domain)
		f.Tenants.add(cmp.Or(env.Origin.Tenant, None))
		f.Reasons.add(reason(&m.Recipients[i], why(domain)))
	}
}

// reason says in a word or two why a recipient waits: because it is held, because of what keeps all
// mail of its domain, because of what the latest attempt came to, or because nobody has tried.
func reason(r *queue.RecipientStatus, domain *mail.Attempt) string {
	a := &r.Last
	if domain != nil {
		a = domain
	}
	switch {
	case r.State == queue.Held:
		return "held"
	case a.Code != 0:
		return strconv.Itoa(a.Code) + " " + a.Enhanced
	case a.Enhanced != "":
		return "no reply " + a.Enhanced
	default:
		return "not attempted yet"
	}
}
