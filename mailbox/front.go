package mailbox

import (
	"fmt"
	"sync"

	"github.com/postroad/postroad/internal/fifo"
)

// Bounds of one append command.
const (
	MaxItems     = 1000      // messages
	batchContent = 256 << 10 // octets of content, unless a single delivery has more
	batchRows    = 256 << 10 // octets of addresses and prefixes, about
	batchDrops   = 5000
	directSize   = 1 << 20 // larger contents go as chunks before their append command
)

// delivery is a Delivery on its way to a command.
type delivery struct {
	*Delivery
	done   func([]Result, error)
	memory int64 // octets it holds while it waits
	weight int64 // of them, those of the items, about
}

func (d *delivery) large() bool { return d.Content.Size > directSize }

// front holds what waits for a proposer, within the bounds of the options (ErrBusy). There is no
// timer: a proposer that is free takes all that waits, so commands are small while there is little
// to do and grow with the time that commands take (adaptive group commit).
type front struct {
	maxBytes int64
	maxItems int
	maxDrops int
	mu       struct {
		sync.Mutex
		small, large fifo.Queue[delivery]
		drops        fifo.Queue[DedupRecord]
		bytes        int64
		items        int
		stopped      bool
	}
	smallCond, largeCond sync.Cond
}

func newFront(o *Options) *front {
	f := &front{maxBytes: o.PendingBytes, maxItems: o.PendingItems, maxDrops: o.PendingDrops}
	f.smallCond.L, f.largeCond.L = &f.mu, &f.mu
	return f
}

// check refuses what has no place in a row, and weighs the rest.
func (s *Store) check(d *delivery) error {
	if len(d.Items) == 0 || len(d.Items) > MaxItems || d.Content.Size < 0 ||
		d.Content.Size > maxChunks*partSize {
		return fmt.Errorf(
			"mailbox: a delivery of %d items and %d octets: %w",
			len(d.Items),
			d.Content.Size,
			ErrContent,
		)
	}
	for i := range d.Items {
		it := &d.Items[i]
		switch {
		case it.Mailbox == "" || len(it.Mailbox) > maxAddress || len(it.Folder) > maxFolder ||
			len(it.Prefix) > maxPrefix,
			it.Flags > allFlags,
			it.Key.Copy >= MaxCopies:
			return fmt.Errorf("mailbox: item %d for %q: %w", i, it.Mailbox, ErrName)
		case !s.mine(it.Mailbox):
			return fmt.Errorf("%s: %w", it.Mailbox, ErrWrongShard)
		}
		d.weight += int64(64 + len(it.Mailbox) + len(it.Folder) + len(it.Prefix))
	}
	d.memory = d.weight + int64(len(d.Content.Bytes))
	return nil
}

// add queues a delivery or says why not.
func (f *front) add(d delivery) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.stopped {
		return errNotOwner
	}
	if f.mu.items > 0 && f.mu.bytes+d.memory > f.maxBytes || f.mu.items+len(d.Items) > f.maxItems {
		return ErrBusy
	}
	f.mu.bytes += d.memory
	f.mu.items += len(d.Items)
	if d.large() {
		f.mu.large.Push(d)
		f.largeCond.Signal()
	} else {
		f.mu.small.Push(d)
		f.smallCond.Signal()
	}
	return nil
}

// dropDedup queues records or says why not.
func (f *front) dropDedup(records []DedupRecord) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.stopped {
		return errNotOwner
	}
	if f.mu.drops.Len()+len(records) > f.maxDrops {
		return ErrBusy
	}
	for _, r := range records {
		f.mu.drops.Push(r)
	}
	f.smallCond.Signal()
	return nil
}

// taken is what goes into one command.
type taken struct {
	deliveries []delivery
	drops      []DedupRecord
}

func (t *taken) empty() bool { return len(t.deliveries) == 0 && len(t.drops) == 0 }

// takeSmall waits for work and takes as much as fits one command; nothing when the front has
// stopped and is empty.
func (f *front) takeSmall() (t taken) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.mu.small.Len() == 0 && f.mu.drops.Len() == 0 && !f.mu.stopped {
		f.smallCond.Wait()
	}
	var content, weight int64
	items := 0
	for f.mu.small.Len() > 0 {
		d := f.mu.small.First()
		content, weight, items = content+d.Content.Size, weight+d.weight, items+len(d.Items)
		if len(t.deliveries) > 0 &&
			(content > batchContent || weight > batchRows || items > MaxItems) {
			break
		}
		t.deliveries = append(t.deliveries, f.pop(&f.mu.small))
	}
	for f.mu.drops.Len() > 0 && len(t.drops) < batchDrops {
		t.drops = append(t.drops, f.mu.drops.Pop())
	}
	return t
}

func (f *front) pop(q *fifo.Queue[delivery]) delivery {
	d := q.Pop()
	f.mu.bytes -= d.memory
	f.mu.items -= len(d.Items)
	return d
}

// takeLarge waits for a large delivery.
func (f *front) takeLarge() (d delivery, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.mu.large.Len() == 0 && !f.mu.stopped {
		f.largeCond.Wait()
	}
	if f.mu.large.Len() == 0 {
		return d, false
	}
	return f.pop(&f.mu.large), true
}

// stop keeps new work out; what waits is still taken.
func (f *front) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.stopped = true
	f.smallCond.Broadcast()
	f.largeCond.Broadcast()
}

// drop keeps new work out and returns the deliveries that wait. Records that were to be forgotten
// are found again (DedupRecords).
func (f *front) drop() (all []delivery) {
	f.stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, q := range []*fifo.Queue[delivery]{&f.mu.small, &f.mu.large} {
		for q.Len() > 0 {
			all = append(all, f.pop(q))
		}
	}
	f.mu.drops = fifo.Queue[DedupRecord]{}
	return all
}
