package delivery

import "github.com/postroad/postroad/internal/fifo"

// Fairness. What waits at a site hangs in a tree: site, tenants, flows, entries. A flow is the mail
// of one tenant and campaign for one destination, first in first out. Each step down the tree goes
// round robin, so that a tenant's or a campaign's flood delays nobody but itself, and ten thousand
// domains of one site have equal shares.

// flow is one branch's end. Owned by the core.
type flow struct {
	dest             *destination
	tenant, campaign string
	list             entryList
	// rows of this flow were left on disk: new ones go there too, to stay in order
	onDisk bool
	queued bool    // in its tenant's round
	turn   *tenant // whose round
}

type flowKey struct{ tenant, campaign string }

// tenant is the share of one tenant at one site.
type tenant struct {
	name   string
	flows  fifo.Ring[*flow] // those that have entries, next first
	queued bool             // in its site's round
}

// enqueue gives f a place in the round of its site. The site is known and f has entries.
func (s *site) enqueue(f *flow) {
	if f.queued {
		return
	}
	t := s.tenant(f.tenant)
	f.turn, f.queued = t, true
	t.flows.Push(f)
	if !t.queued {
		t.queued = true
		s.round.Push(t)
	}
}

// dequeue takes f out of the round.
func (s *site) dequeue(f *flow) {
	if f.queued {
		f.queued = false
		f.turn.flows.Remove(f)
	}
}

// tenant returns the share of a tenant, making it when there is none.
func (s *site) tenant(name string) *tenant {
	if !s.first.flows.Used() {
		s.first.name = name // most sites see one tenant only
	}
	if s.first.name == name {
		return &s.first
	}
	if t := s.others[name]; t != nil {
		return t
	}
	if s.others == nil {
		s.others = map[string]*tenant{}
	}
	if len(s.others) > maxIdleTenants {
		for k, t := range s.others {
			if !t.queued {
				delete(s.others, k)
			}
		}
	}
	t := &tenant{name: name}
	s.others[name] = t
	return t
}

// maxIdleTenants bounds the tenants a site remembers that have nothing waiting.
const maxIdleTenants = 64

// turn returns the flow whose turn it is, or nil, and moves the round on. The flow goes to the end
// of its tenant's round and the tenant to the end of the site's, if they have more.
func (s *site) turn() *flow {
	for {
		t, ok := s.round.Pop()
		if !ok {
			return nil
		}
		f, ok := t.flows.Pop()
		if !ok {
			t.queued = false
			continue
		}
		if f.list.n > 1 {
			t.flows.Push(f)
		} else {
			f.queued = false
		}
		if t.flows.Len() > 0 {
			s.round.Push(t)
		} else {
			t.queued = false
		}
		if f.list.n > 0 {
			return f
		}
	}
}

// peek returns the flow whose turn would be next, or nil.
func (s *site) peek() *flow {
	for s.round.Len() > 0 {
		t := s.round.Next()
		for t.flows.Len() > 0 {
			if f := t.flows.Next(); f.list.n > 0 {
				return f
			}
			f, _ := t.flows.Pop()
			f.queued = false
		}
		t.queued = false
		s.round.Pop()
	}
	return nil
}
