package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue/machine"
)

// Total counts what a filter selected at an applied index.
type Total struct {
	Index      uint64
	Messages   int64
	Recipients int64
	ByState    [Removed + 1]int64 // recipients
}

func (t *Total) add(s *Stored, selected []uint32, inFlight func(mail.ID, uint32) bool) {
	t.Messages++
	t.Recipients += int64(len(selected))
	for _, n := range selected {
		t.ByState[shownState(s, int(n), inFlight)]++
	}
}

// List calls fn with the selected messages in order of arrival until it returns false. fn gets
// whole messages and which recipients were selected. The total counts what fn was given; its index
// is the one at the beginning. Nothing of the store is held while fn runs.
func (q *Queue) List(
	ctx context.Context, f Filter, fn func(m *Stored, selected []uint32) bool,
) (t Total, err error) {
	if t.Index, err = q.appliedIndex(); err != nil {
		return t, err
	}
	err = q.scanSelected(ctx, f, func(s *Stored, selected []uint32) bool {
		t.add(s, selected, q.opts.InFlight)
		return fn(s, selected)
	})
	return t, err
}

func (q *Queue) scanSelected(ctx context.Context, f Filter, fn func(*Stored, []uint32) bool) error {
	goOn := true
	for _, span := range f.ranges() {
		err := q.scanMessages(span[0], span[1], f.wants, func(s *Stored) bool {
			if ctx.Err() != nil {
				return false
			}
			if selected := f.selects(nil, s, q.opts.InFlight); len(selected) > 0 {
				goOn = fn(s, selected)
			}
			return goOn
		})
		if err := errors.Join(err, ctx.Err()); err != nil || !goOn {
			return err
		}
	}
	return nil
}

// Count counts exactly, at one moment: without a filter from the counters (which know nothing of
// InFlight, and count messages that only wait for their reports), else in one scan.
func (q *Queue) Count(ctx context.Context, f Filter) (t Total, err error) {
	r, err := q.read()
	if err != nil {
		return t, err
	}
	if f.All() {
		return countAll(r)
	}
	if len(f.IDs) > 0 { // a few look-ups, not a scan of the whole
		return q.List(ctx, f, func(*Stored, []uint32) bool { return true })
	}
	c := census{
		f: &f,
		g: gatherer{loader: loader{r: r}, want: f.wants},
	} // the scan begins with the meta row
	c.g.emit = func(s *Stored) bool {
		c.selected = f.selects(c.selected[:0], s, q.opts.InFlight)
		if len(c.selected) > 0 && (f.Before.IsZero() || s.Message.Arrived.Before(f.Before)) {
			c.t.add(s, c.selected, q.opts.InFlight)
		}
		return ctx.Err() == nil
	}
	if err := r.Scan(machine.MetaKey, []byte{machine.KeyMessage + 1}, c.pair); err != nil {
		return t, fmt.Errorf("count messages: %w", err)
	}
	c.g.flush()
	return c.t, errors.Join(c.g.err, ctx.Err())
}

func countAll(r Reader) (t Total, err error) {
	v, ok, err := r.Get(machine.MetaKey)
	if err != nil || !ok {
		return t, err
	}
	m, err := machine.DecodeMeta(v)
	t.Index, t.Messages = m.Index, int64(m.Counters[machine.CountMessages])
	for s := Ready; s <= Held; s++ {
		t.ByState[s] = int64(m.Counters[machine.CountState+machine.Counter(s)])
		t.Recipients += t.ByState[s]
	}
	return t, err
}

// census counts in one scan, which begins with the meta row and so knows the index of what it sees.
type census struct {
	f        *Filter
	t        Total
	g        gatherer
	selected []uint32
}

func (c *census) pair(k, v []byte) bool {
	switch k[0] {
	case machine.KeyMeta:
		c.g.meta, c.g.err = machine.DecodeMeta(v)
		c.t.Index = c.g.meta.Index
		return c.g.err == nil
	case machine.KeyMessage:
		return c.g.pair(k, v)
	}
	return true // chunks and slots lie between
}

func (q *Queue) appliedIndex() (uint64, error) {
	r, err := q.read()
	if err != nil {
		return 0, err
	}
	t, err := countAll(r)
	return t.Index, err
}
