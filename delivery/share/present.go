package share

import "sync"

// Present are the holders of one process whose users may have connections open. It is what the
// process answers when a grantor asks whether a deposed one has closed them. Safe for use by
// several goroutines.
type Present struct {
	mu  sync.Mutex
	all map[*Holder]struct{}
}

// Tenures lists them.
func (p *Present) Tenures() []Tenure {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]Tenure, 0, len(p.all))
	for h := range p.all {
		all = append(all, h.tenure())
	}
	return all
}

func (p *Present) add(h *Holder) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil {
		p.all = map[*Holder]struct{}{}
	}
	p.all[h] = struct{}{}
}

func (p *Present) drop(h *Holder) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, h)
}
