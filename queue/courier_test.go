package queue

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/postroad/postroad/internal/mail"
)

// courier is a scheduler of one term: it knows what it was told and what it read at the start, and
// looks for nothing else.
type courier struct {
	w       *owners
	p       *peer
	session uint64
	mu      struct {
		sync.Mutex
		jobs    []job
		domains map[string]time.Time // to look at, and when
		busy    map[string]bool      // held and not settled yet
	}
	outcomes []Outcome // of attempts that were made
	keys     []string
}

// job is one recipient to be tried.
type job struct {
	key       string
	item      *Item
	recipient uint32
}

func (c *courier) Accepted(items []Item) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, it := range items {
		for _, n := range it.Recipients {
			j := job{fmt.Sprintf("%s to %d", it.Message.Envelope.Sender, n), &it, n}
			if !c.mu.busy[j.key] {
				c.mu.busy[j.key], c.mu.jobs = true, append(c.mu.jobs, j)
			}
		}
	}
}

func (c *courier) Changed(_ []mail.ID, domains []string) {
	for _, d := range domains {
		c.wake(d, time.Time{})
	}
}

// wake notes when to look at a domain.
func (c *courier) wake(domain string, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if before, ok := c.mu.domains[domain]; !ok || at.Before(before) {
		c.mu.domains[domain] = at
	}
}

func (c *courier) Gone([]mail.ID) {}

func (c *courier) Suspended(Suspensions) {}

// term lets a leader become the owner.
func (w *owners) term(p *peer) {
	ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Second)
	defer cancel()
	c := &courier{w: w, p: p}
	c.mu.domains, c.mu.busy = map[string]time.Time{}, map[string]bool{}
	if err := p.queue.Start(ctx, p.rows, c); err != nil {
		return // as when leadership was lost meanwhile
	}
	c.session = p.queue.run.Load().session
	domains, err := p.queue.Domains("", 10_000)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, d := range domains {
		c.wake(d.Domain, d.Due)
	}
	p.courier = c
}

// owns is what the lease says: nobody else owns the queue.
func (c *courier) owns() bool { return c.w.group.Leader() == c.p.rows && c.p.queue.Owner() }

// look reads the domains that have something due.
func (c *courier) look() {
	c.mu.Lock()
	due := c.mu.domains
	c.mu.domains = map[string]time.Time{}
	c.mu.Unlock()
	for d, at := range due {
		if at.After(time.Now()) {
			c.wake(d, at)
			continue
		}
		items, _, err := c.p.queue.Due(d, Cursor{}, time.Now().Add(time.Hour), 1000)
		if err != nil {
			c.w.t.Fatal(err)
		}
		for _, it := range items {
			if it.Due.After(time.Now()) {
				c.wake(d, it.Due)
			} else {
				c.Accepted([]Item{it})
			}
		}
	}
}

// attempt tries some of what it has.
func (c *courier) attempt(most int) {
	if !c.owns() {
		return
	}
	c.look()
	c.mu.Lock()
	n := min(most, len(c.mu.jobs))
	jobs := c.mu.jobs[:n:n]
	c.mu.jobs = c.mu.jobs[n:]
	c.mu.Unlock()
	for _, j := range jobs {
		c.try(j.key, j.item, j.recipient)
	}
}

func (c *courier) try(key string, it *Item, recipient uint32) {
	o := Outcome{
		ID:        it.Message.ID,
		Recipient: recipient,
		Domain:    it.Domain,
		WasDue:    it.Due,
		State:     Relayed,
		Attempt:   mail.Attempt{At: time.Now(), Code: 250},
	}
	if !c.w.calm && c.w.rand.IntN(4) == 0 {
		o.State, o.Due, o.Attempt.Code = Deferred, time.Now().Add(time.Minute), 450
	} else {
		c.w.handOver(key, handover{c.session, it.MaybeAttempted})
	}
	c.outcomes, c.keys = append(c.outcomes, o), append(c.keys, key)
}

// handOver: what was taken before may be offered again only by an attempt that says so, and never
// in the same term.
func (w *owners) handOver(key string, h handover) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.mu.delivered[key]
	for _, b := range before {
		if !h.maybe || b.session == h.session {
			w.t.Errorf(
				"%s was delivered in term %d, and again in term %d, maybe attempted: %v",
				key,
				b.session,
				h.session,
				h.maybe,
			)
		}
	}
	w.mu.delivered[key] = append(before, h)
}

// settle gives the queue what the attempts came to. After the end of the term it must be refused.
func (c *courier) settle() {
	outcomes, keys := c.outcomes, c.keys
	c.outcomes, c.keys = nil, nil
	if len(outcomes) == 0 ||
		c.p.queue.run.Load() != nil && c.p.queue.run.Load().session != c.session {
		return // a scheduler is ended before the next one of its node
	}
	c.p.queue.Settle(outcomes, func(err error) {
		if err != nil {
			return // only the next owner's word counts
		}
		for i, key := range keys {
			c.mu.Lock()
			delete(c.mu.busy, key)
			c.mu.Unlock()
			if outcomes[i].State == Deferred {
				c.wake(outcomes[i].Domain, outcomes[i].Due)
			}
		}
	})
}
