package owner

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
)

// Held is this node's member of a group.
type Held interface {
	comparable
	ID() uint64
	Stop(ctx context.Context) error // ends the part that this node takes, in good order
}

// Set holds the groups of one kind in which this node takes part. The zero Set is empty. Safe for
// use by several goroutines.
type Set[H Held] struct {
	mu  sync.Mutex
	all []H // by number
}

// Add adds a holding.
func (s *Set[H]) Add(h H) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(slices.Clone(s.all), h)
	slices.SortFunc(s.all, func(a, b H) int { return cmp.Compare(a.ID(), b.ID()) })
}

// Remove takes a holding out.
func (s *Set[H]) Remove(h H) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = slices.DeleteFunc(slices.Clone(s.all), func(o H) bool { return o == h })
}

// List returns the holdings; the slice does not change.
func (s *Set[H]) List() []H {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}

// Get returns the holding of a group; the zero value: this node takes no part in it.
func (s *Set[H]) Get(id uint64) (none H) {
	for _, h := range s.List() {
		if h.ID() == id {
			return h
		}
	}
	return none
}

// Stop ends all at once.
func (s *Set[H]) Stop(ctx context.Context) error {
	var all sync.WaitGroup
	list := s.List()
	errs := make([]error, len(list))
	for i, h := range list {
		all.Go(func() { errs[i] = h.Stop(ctx) })
	}
	all.Wait()
	return errors.Join(errs...)
}
