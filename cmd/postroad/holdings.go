package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
)

// held is this node's member of a group.
type held interface {
	comparable
	id() uint64
	stop(ctx context.Context) error // ends the part that this node takes, in good order
}

// holdings are the groups of one kind in which this node takes part.
type holdings[H held] struct {
	mu  sync.Mutex
	all []H // by number
}

func (hs *holdings[H]) add(h H) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.all = append(slices.Clone(hs.all), h)
	slices.SortFunc(hs.all, func(a, b H) int { return cmp.Compare(a.id(), b.id()) })
}

func (hs *holdings[H]) remove(h H) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.all = slices.DeleteFunc(slices.Clone(hs.all), func(o H) bool { return o == h })
}

// list returns the holdings; the slice does not change.
func (hs *holdings[H]) list() []H {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return hs.all
}

// get returns the holding of a group; the zero value: this node takes no part in it.
func (hs *holdings[H]) get(id uint64) (none H) {
	for _, h := range hs.list() {
		if h.id() == id {
			return h
		}
	}
	return none
}

// stop ends all at once.
func (hs *holdings[H]) stop(ctx context.Context) error {
	var all sync.WaitGroup
	list := hs.list()
	errs := make([]error, len(list))
	for i, h := range list {
		all.Go(func() { errs[i] = h.stop(ctx) })
	}
	all.Wait()
	return errors.Join(errs...)
}
