package mailbox

import (
	"context"
	"fmt"
)

// MaxBatch is how many octets of content AppendBatch takes at once.
const MaxBatch = directSize

// AppendBatch appends deliveries by one command, in their order, and waits for it: an import,
// whose messages are to have UIDs in the order of the archive. Together they have at most MaxItems
// items, and MaxBatch octets of content in Content.Bytes. The results are those of each
// delivery's items. Errors are Append's, of all.
func (s *Store) AppendBatch(ctx context.Context, all []*Delivery) ([][]Result, error) {
	r := s.run.Load()
	if r == nil {
		return nil, errNotOwner
	}
	results := make([][]Result, len(all))
	var t taken
	var octets int64
	items := 0
	for i, d := range all {
		u := delivery{Delivery: d, done: func(r []Result, err error) { results[i] = r }}
		if err := s.check(&u); err != nil {
			return nil, err
		}
		octets, items = octets+d.Content.Size, items+len(d.Items)
		if int64(len(d.Content.Bytes)) != d.Content.Size || octets > MaxBatch || items > MaxItems {
			return nil, fmt.Errorf(
				"mailbox: %d items and %d octets together, of which %d are there: %w",
				items,
				octets,
				len(d.Content.Bytes),
				ErrContent,
			)
		}
		t.deliveries = append(t.deliveries, u)
	}
	l, err := r.slot(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { r.slots <- l }()
	var b batch
	b.build(&t, r.begin(l, cmdAppend))
	result, err := r.propose(
		r.ctx,
		b.data,
		b.parts,
	) // as an append's: its outcome is unknown only when the term ends
	r.answer(b.deliveries, result, err)
	return results, err
}
