package delivery

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
	flows  deque[*flow] // those that have entries, next first
	queued bool         // in its site's round
}

// deque is a first-in-first-out queue in a ring buffer.
type deque[T comparable] struct {
	buf     []T
	head, n int
}

func (d *deque[T]) push(v T) {
	if d.n == len(d.buf) {
		buf := make([]T, max(2, 2*d.n))
		for i := range d.n {
			buf[i] = d.buf[(d.head+i)%d.n]
		}
		d.buf, d.head = buf, 0
	}
	d.buf[(d.head+d.n)&(len(d.buf)-1)] = v
	d.n++
}

func (d *deque[T]) pop() (v T, ok bool) {
	if d.n == 0 {
		return v, false
	}
	var zero T
	v, d.buf[d.head] = d.buf[d.head], zero
	d.head = (d.head + 1) & (len(d.buf) - 1)
	d.n--
	return v, true
}

// remove takes v out wherever it is: a rare operation.
func (d *deque[T]) remove(v T) {
	for range d.n {
		if x, _ := d.pop(); x != v {
			d.push(x)
		}
	}
}

// enqueue gives f a place in the round of its site. The site is known and f has entries.
func (s *site) enqueue(f *flow) {
	if f.queued {
		return
	}
	t := s.tenant(f.tenant)
	f.turn, f.queued = t, true
	t.flows.push(f)
	if !t.queued {
		t.queued = true
		s.round.push(t)
	}
}

// dequeue takes f out of the round.
func (s *site) dequeue(f *flow) {
	if f.queued {
		f.queued = false
		f.turn.flows.remove(f)
	}
}

// tenant returns the share of a tenant, making it when there is none.
func (s *site) tenant(name string) *tenant {
	if s.first.flows.buf == nil {
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
		t, ok := s.round.pop()
		if !ok {
			return nil
		}
		f, ok := t.flows.pop()
		if !ok {
			t.queued = false
			continue
		}
		if f.list.n > 1 {
			t.flows.push(f)
		} else {
			f.queued = false
		}
		if t.flows.n > 0 {
			s.round.push(t)
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
	for s.round.n > 0 {
		t := s.round.buf[s.round.head]
		for t.flows.n > 0 {
			if f := t.flows.buf[t.flows.head]; f.list.n > 0 {
				return f
			}
			f, _ := t.flows.pop()
			f.queued = false
		}
		t.queued = false
		s.round.pop()
	}
	return nil
}
