package admin

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/postroad/postroad/operate/admin/api"
)

// source answers an ask for some of the groups. It always returns a total: what it could not do is
// missing in it.
type source interface {
	answer(ctx context.Context, a *ask, out outlet) *api.Total
}

// outlet takes what a source finds, in order of ID, until it returns false; and how many more
// recipients it moved.
type outlet struct {
	found func(id string, item any) (goOn bool)
	moved func(more int64)
}

// listed is one thing that a source found.
type listed struct {
	id  string
	raw json.RawMessage
}

// ahead is how many things a source may find before they are wanted.
const ahead = 16

// round lets all sources answer at once, and gives emit what they find in order of ID, each ID
// once; moved hears of each recipient.
func round(
	ctx context.Context, a *ask, sources []source, emit func(json.RawMessage) bool,
	moved func(more int64),
) []*api.Total {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	totals, found := make([]*api.Total, len(sources)), make([]chan listed, len(sources))
	var all sync.WaitGroup
	for i, src := range sources {
		found[i] = make(chan listed, ahead)
		all.Go(func() {
			defer close(found[i])
			totals[i] = src.answer(ctx, a, outlet{into(ctx, found[i]), moved})
		})
	}
	if !merge(found, emit) {
		cancel() // nobody reads any more
		for _, c := range found {
			for range c {
			}
		}
	}
	all.Wait()
	return totals
}

// into is an outlet's found, for a channel.
func into(ctx context.Context, c chan<- listed) func(string, any) bool {
	return func(id string, item any) bool {
		raw, ok := item.(json.RawMessage)
		if !ok {
			var err error
			if raw, err = json.Marshal(item); err != nil {
				return false
			}
		}
		select {
		case c <- listed{id, raw}:
			return true
		case <-ctx.Done():
			return false
		}
	}
}

// merge gives emit what comes from all channels in order of ID until all are closed, or emit
// returns false. An ID that comes from two sources, because its group has changed hands, is given
// once.
func merge(found []chan listed, emit func(json.RawMessage) bool) (goOn bool) {
	heads := make([]*listed, len(found))
	next := func(i int) {
		heads[i] = nil
		if l, ok := <-found[i]; ok {
			heads[i] = &l
		}
	}
	for i := range found {
		next(i)
	}
	for last := ""; ; {
		first := -1
		for i, h := range heads {
			if h != nil && (first < 0 || h.id < heads[first].id) {
				first = i
			}
		}
		if first < 0 {
			return true
		}
		if h := heads[first]; h.id != last {
			if last = h.id; emit != nil && !emit(h.raw) {
				return false
			}
		}
		next(first)
	}
}

// combine makes one total of the sources'. A group has answered when one source got to the end of
// it, whatever others say.
func (s *Server) combine(verb string, parts []*api.Total) *api.Total {
	t := &api.Total{Node: s.o.Node}
	for _, p := range parts {
		for _, g := range p.Groups {
			t.AddGroup(verb, g)
		}
		t.Missing = append(t.Missing, p.Missing...)
	}
	t.Sum()
	t.Settle(s.o.Groups != nil)
	return t
}
