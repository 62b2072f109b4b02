package local

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/mailbox"
)

// linger is how long a message waits for others. Nobody waits for a delivery as a client waits for
// its 250, and each append command of a shard costs as much as some messages: two thirds of the CPU
// with 20 clients.
const linger = 10 * time.Millisecond

// job is one message on its way to all its shards.
type job struct {
	store    *Store
	m        *delivery.LocalMessage
	done     func([]*smtp.Failure)
	failures []*smtp.Failure // each written by the batch that has the recipient
	left     atomic.Int32    // batches
	content  mailbox.Content // as the mailboxes get it

	// Most messages have one recipient: this is what they need.
	one   [1]*smtp.Failure
	batch batch
	place [1]int
	item  [1]mailbox.Item
}

// batch is what one shard gets of a job.
type batch struct {
	*job
	shard    int
	places   []int // of the items, in the job's recipients
	delivery mailbox.Delivery
	made     bool // the mailboxes that were not there have been made
}

// begin begins a batch for a shard.
func (j *job) begin(b *batch, shard int) {
	j.left.Add(1)
	b.job, b.shard = j, shard
	b.delivery.Content = j.content
}

// put adds a recipient.
func (b *batch) put(place int) {
	r := &b.m.Recipients[place]
	b.places = append(b.places, place)
	b.delivery.Items = append(b.delivery.Items, mailbox.Item{
		Key:     mailbox.AppendKey{ID: b.m.Message.ID, Recipient: r.Number},
		Mailbox: r.Address, Prefix: r.Prefix,
	})
}

// send sends a batch off with others.
func (b *batch) send() {
	s := b.store
	if s.breaker.putOff(b.shard) {
		b.fail(failMoving)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting = append(s.waiting, b); len(s.waiting) == 1 {
		time.AfterFunc(linger, s.flush)
	}
}

// flush sends what waits.
func (s *Store) flush() {
	s.mu.Lock()
	all := s.waiting
	s.waiting, s.spare = s.spare[:0], nil
	s.mu.Unlock()
	for _, b := range all {
		s.o.Mailboxes.Append(b.shard, &b.delivery, b.arrived)
	}
	clear(all)
	s.mu.Lock()
	s.spare = all
	s.mu.Unlock()
}

// full is what the mailbox of an item that has no room says.
func (b *batch) full(item int) *smtp.Failure {
	it := &b.delivery.Items[item]
	s, ok := b.store.o.Settings(it.Mailbox)
	if ok && s.Hard > 0 && b.delivery.Content.Size+int64(len(it.Prefix)) > s.Hard {
		return failTooLarge
	}
	return failFull
}

// arrived takes the shard's answer. It must not block.
func (b *batch) arrived(results []mailbox.Result, err error) {
	if err != nil {
		if errors.Is(err, mailbox.ErrRefused) {
			b.store.breaker.refused(b.shard)
		}
		b.fail(failureOf(err))
		return
	}
	b.store.breaker.answered(b.shard)
	missing := 0
	for i, r := range results {
		f := &b.failures[b.places[i]]
		switch r.Code {
		case mailbox.Stored, mailbox.Duplicate:
			*f = nil
			if r.Warn {
				b.store.warnOverQuota(b.delivery.Items[i].Mailbox)
			}
		case mailbox.Full:
			*f = b.full(i)
		case mailbox.NoMailbox:
			if *f = b.store.absent(b.delivery.Items[i].Mailbox); *f != nil {
				continue
			}
			if *f = failStore; !b.made { // else it was made, and is gone again
				b.places[missing], b.delivery.Items[missing] = b.places[i], b.delivery.Items[i]
				missing++
			}
		default:
			*f = failStore
		}
	}
	if missing == 0 {
		b.finish()
		return
	}
	b.made = true
	b.places, b.delivery.Items = b.places[:missing], b.delivery.Items[:missing]
	go b.create() // there are no more of these than the local site has connections
}

// create makes the mailboxes of the items that are left, and sends them again.
func (b *batch) create() {
	s := b.store
	ctx, cancel := context.WithTimeout(context.Background(), makeTime)
	defer cancel()
	select {
	case s.making <- struct{}{}:
		defer func() { <-s.making }()
	case <-ctx.Done():
		b.arrived(nil, mailbox.ErrBusy)
		return
	}
	for i := range b.delivery.Items {
		address := b.delivery.Items[i].Mailbox
		if set, ok := s.o.Settings(address); ok {
			if err := s.o.Mailboxes.Create(ctx, address, set); err != nil {
				b.arrived(nil, err)
				return
			}
		}
	}
	b.send()
}

// fail ends a batch of which all failed.
func (b *batch) fail(f *smtp.Failure) {
	for _, place := range b.places {
		b.failures[place] = f
	}
	b.finish()
}

func (b *batch) finish() {
	if b.left.Add(-1) == 0 {
		b.done(b.failures)
	}
}
