package node

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/mailbox"
	"github.com/postroad/postroad/queue"
)

// localStore is the scheduler's way into the mailboxes (delivery.LocalStore): it sends the
// recipients of a message to their shards, makes mailboxes on first use, and says in SMTP's words
// what became of it. All terms of the node share one.
type localStore struct {
	boxes localBoxes
	// settings are what the directory says of a mailbox that is to be made; false: there is no such
	// user.
	settings func(address string) (mailbox.Settings, bool)
	current  func() bool                 // the directory surely is what the cluster knows now
	warn     func(address string)        // a mailbox is over its soft quota; it must not block
	making   chan struct{}               // a place for each mailbox that is being made
	after    func(time.Duration, func()) // time.AfterFunc, but for tests
	ailing   ailing

	mu      sync.Mutex
	waiting []*parcel // for the end of the linger
	spare   []*parcel // waiting's memory, in turn
}

// localBoxes is what localStore needs of the mailboxes.
type localBoxes interface {
	Shards() int
	Append(shard int, d *mailbox.Delivery, done func([]mailbox.Result, error))
	Forget(shard int, records []mailbox.DedupRecord)
	Create(ctx context.Context, address string, s mailbox.Settings) error
}

const (
	makersAtOnce = 64
	makeTime     = 15 * time.Second // for all mailboxes that one delivery needs
	// appendLinger is how long a message waits for others. Nobody waits for a delivery as a client
	// waits for its 250, and each append command of a shard costs as much as some messages: two
	// thirds of the CPU with 20 clients.
	appendLinger = 10 * time.Millisecond
)

func newLocalStore(boxes localBoxes, settings func(string) (mailbox.Settings, bool)) *localStore {
	return &localStore{
		boxes: boxes, settings: settings, current: func() bool { return true }, making: make(chan struct{}, makersAtOnce),
		warn:  func(string) {},
		after: func(d time.Duration, f func()) { time.AfterFunc(d, f) },
	}
}

// What the scheduler is told. 4.3.0 and 4.3.2 are tried again within seconds.
var (
	failNoPostmaster = smtp.Temp(smtp.LocalError, "4.3.5", "Mail for postmaster has nowhere to go: the operator must set local.postmaster")
	failNoUser       = smtp.Perm(smtp.MailboxUnavailable, "5.1.1", "No such user here")
	failNotSure      = smtp.Temp(smtp.LocalError, "4.3.2", "It is not known just now who has a mailbox")
	failFull         = smtp.Temp(smtp.InsufficientStorage, "4.2.2", "The mailbox is full")
	failNoShards     = smtp.Temp(smtp.LocalError, "4.3.2", "There are no mailboxes yet")
	failMoving       = smtp.Temp(smtp.LocalError, "4.3.2", "The mailbox has no owner just now")
	failBusy         = smtp.Temp(smtp.LocalError, "4.3.2", "Too much is waiting for the mailbox's shard")
	failUnknown      = smtp.Temp(smtp.LocalError, "4.3.0", "It is not known whether the mailbox has the message")
	failStore        = smtp.Temp(smtp.LocalError, "4.3.0", "The mailbox's shard did not take the message")
)

// errand is one message on its way to all its shards.
type errand struct {
	store    *localStore
	m        *delivery.LocalMessage
	done     func([]*smtp.Failure)
	failures []*smtp.Failure // each written by the parcel that has the recipient
	left     atomic.Int32    // parcels

	// Most messages have one recipient: this is what they need.
	one    [1]*smtp.Failure
	parcel parcel
	place  [1]int
	item   [1]mailbox.Item
}

// parcel is what one shard gets of an errand.
type parcel struct {
	*errand
	shard    int
	places   []int // of the items, in the errand's recipients
	delivery mailbox.Delivery
	made     bool // the mailboxes that were not there have been made
}

// Deliver implements delivery.LocalStore.
func (s *localStore) Deliver(m *delivery.LocalMessage, done func([]*smtp.Failure)) {
	e := &errand{store: s, m: m, done: done}
	e.failures = e.one[:]
	if len(m.Recipients) != 1 {
		e.failures = make([]*smtp.Failure, len(m.Recipients))
	}
	shards := s.boxes.Shards()
	if shards == 0 {
		for i := range e.failures {
			if e.failures[i] = s.absent(m.Recipients[i].Address); e.failures[i] == nil {
				e.failures[i] = failNoShards
			}
		}
		done(e.failures)
		return
	}
	if len(m.Recipients) == 1 {
		p := &e.parcel
		p.places, p.delivery.Items = e.place[:0], e.item[:0]
		e.pack(p, mailbox.Shard(m.Recipients[0].Address, shards))
		p.put(0)
		p.send()
		return
	}
	parcels := make([]*parcel, shards) // nil: nothing for the shard
	for i := range m.Recipients {
		n := mailbox.Shard(m.Recipients[i].Address, shards)
		if parcels[n] == nil {
			parcels[n] = &parcel{}
			e.pack(parcels[n], n)
		}
		parcels[n].put(i)
	}
	for _, p := range parcels {
		if p != nil {
			p.send()
		}
	}
}

// pack begins a parcel for a shard.
func (e *errand) pack(p *parcel, shard int) {
	e.left.Add(1)
	p.errand, p.shard = e, shard
	p.delivery.Content = mailbox.Content{Size: e.m.Message.Size, Bytes: e.m.Content, Open: e.m.Open}
}

// put adds a recipient.
func (p *parcel) put(place int) {
	r := &p.m.Recipients[place]
	p.places = append(p.places, place)
	p.delivery.Items = append(p.delivery.Items, mailbox.Item{
		Key:     mailbox.AppendKey{ID: p.m.Message.ID, Recipient: r.Number},
		Mailbox: r.Address, Prefix: r.Prefix,
	})
}

// send sends a parcel off with others.
func (p *parcel) send() {
	s := p.store
	if s.ailing.putOff(p.shard) {
		p.fail(failMoving)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting = append(s.waiting, p); len(s.waiting) == 1 {
		s.after(appendLinger, s.flush)
	}
}

// flush sends what waits.
func (s *localStore) flush() {
	s.mu.Lock()
	all := s.waiting
	s.waiting, s.spare = s.spare[:0], nil
	s.mu.Unlock()
	for _, p := range all {
		s.boxes.Append(p.shard, &p.delivery, p.arrived)
	}
	clear(all)
	s.mu.Lock()
	s.spare = all
	s.mu.Unlock()
}

// arrived takes the shard's answer. It must not block.
func (p *parcel) arrived(results []mailbox.Result, err error) {
	if err != nil {
		if errors.Is(err, mailbox.ErrRefused) {
			p.store.ailing.refused(p.shard)
		}
		p.fail(failureOf(err))
		return
	}
	p.store.ailing.answered(p.shard)
	missing := 0
	for i, r := range results {
		f := &p.failures[p.places[i]]
		switch r.Code {
		case mailbox.Stored, mailbox.Duplicate:
			*f = nil
			if r.Warn {
				p.store.warn(p.delivery.Items[i].Mailbox)
			}
		case mailbox.Full:
			*f = failFull
		case mailbox.NoMailbox:
			if *f = p.store.absent(p.delivery.Items[i].Mailbox); *f != nil {
				continue
			}
			if *f = failStore; !p.made { // else it was made, and is gone again
				p.places[missing], p.delivery.Items[missing] = p.places[i], p.delivery.Items[i]
				missing++
			}
		default:
			*f = failStore
		}
	}
	if missing == 0 {
		p.finish()
		return
	}
	p.made = true
	p.places, p.delivery.Items = p.places[:missing], p.delivery.Items[:missing]
	go p.create() // there are no more of these than the local site has connections
}

// absent is what a recipient without a mailbox is told; nil: it should have one.
func (s *localStore) absent(address string) *smtp.Failure {
	if _, ok := s.settings(address); ok {
		return nil
	}
	if local, _, _ := strings.Cut(address, "@"); strings.EqualFold(local, "postmaster") {
		return failNoPostmaster
	}
	if !s.current() {
		return failNotSure
	}
	return failNoUser
}

// create makes the mailboxes of the items that are left, and sends them again.
func (p *parcel) create() {
	ctx, cancel := context.WithTimeout(context.Background(), makeTime)
	defer cancel()
	select {
	case p.store.making <- struct{}{}:
		defer func() { <-p.store.making }()
	case <-ctx.Done():
		p.arrived(nil, mailbox.ErrBusy)
		return
	}
	for i := range p.delivery.Items {
		address := p.delivery.Items[i].Mailbox
		if set, ok := p.store.settings(address); ok {
			if err := p.store.boxes.Create(ctx, address, set); err != nil {
				p.arrived(nil, err)
				return
			}
		}
	}
	p.send()
}

// fail ends a parcel of which all failed.
func (p *parcel) fail(f *smtp.Failure) {
	for _, place := range p.places {
		p.failures[place] = f
	}
	p.finish()
}

func (p *parcel) finish() {
	if p.left.Add(-1) == 0 {
		p.done(p.failures)
	}
}

func failureOf(err error) *smtp.Failure {
	switch {
	case errors.Is(err, mailbox.ErrBusy):
		return failBusy
	case errors.Is(err, mailbox.ErrRefused):
		return failMoving
	case errors.Is(err, mailbox.ErrUnknown):
		return failUnknown
	}
	return failStore.With(err)
}

// Settled implements delivery.LocalStore.
func (s *localStore) Settled(m *queue.Message, recipients []uint32) {
	shards := s.boxes.Shards()
	if shards == 0 {
		return
	}
	for _, n := range recipients {
		shard := mailbox.Shard(m.Envelope.Recipients[n].Address, shards)
		s.boxes.Forget(shard, []mailbox.DedupRecord{{ID: m.ID, Recipient: n}})
	}
}
