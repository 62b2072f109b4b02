// Package local delivers mail into mailboxes of our own. It is the scheduler's local delivery agent
// (delivery.LocalStore): it sends the recipients of a message to their shards, makes mailboxes on
// first use, leaves shards alone that have no owner, and says in SMTP's words what became of it.
package local

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/mailbox"
	"github.com/postroad/postroad/queue"
)

// Mailboxes are all mailboxes of the cluster; a *router.Router is them. Only Create blocks.
type Mailboxes interface {
	// Shards is the number of shards; 0: there are none yet.
	Shards() int
	// Append takes a delivery for mailboxes of one shard. done is called once, on any goroutine.
	// ErrRefused: the shard has no owner, and has been waited for.
	Append(shard int, d *mailbox.Delivery, done func([]mailbox.Result, error))
	// Forget says that the keys of these recipients will not come again.
	Forget(shard int, records []mailbox.DedupRecord)
	// Create makes a mailbox; it is no error that it is there.
	Create(ctx context.Context, address string, s mailbox.Settings) error
}

// Submitter takes a message into the queue. It does not block. The content is its from then on.
type Submitter interface {
	Submit(env *mail.Envelope, content *mail.Content, done func(mail.ID, *smtp.Failure))
}

// Options are what a Store needs. All are required.
type Options struct {
	// Mailboxes is where messages go.
	Mailboxes Mailboxes
	// Patience is how long an append may take to find that its shard has no owner.
	Patience time.Duration
	// Settings are what the directory says of a mailbox that is to be made; false: there is no such
	// user.
	Settings func(address string) (mailbox.Settings, bool)
	// Current reports whether the directory surely is what the cluster knows now. Until then nobody
	// is unknown for good.
	Current func() bool
	// Submitter takes what users are told: that their mailboxes are over their soft quota.
	Submitter Submitter
	// Hostname is this host's, in whose name users are told.
	Hostname string
	// Logf writes a line into the log.
	Logf func(format string, args ...any)
}

// Store implements delivery.LocalStore. All terms of a node share one. Safe for use by several
// goroutines.
type Store struct {
	o       Options
	making  chan struct{} // a place for each mailbox that is being made
	breaker breaker

	mu      sync.Mutex
	waiting []*batch // for the end of the linger
	spare   []*batch // waiting's memory, in turn
}

// Bounds of the mailboxes that are made on first use.
const (
	makersAtOnce = 64
	makeTime     = 15 * time.Second // for all mailboxes that one delivery needs
)

// New returns a Store.
func New(o Options) *Store {
	return &Store{
		o: o, making: make(chan struct{}, makersAtOnce), breaker: breaker{patience: o.Patience},
	}
}

// Deliver implements delivery.LocalStore.
func (s *Store) Deliver(m *delivery.LocalMessage, done func([]*smtp.Failure)) {
	j := &job{store: s, m: m, done: done}
	j.failures = j.one[:]
	if len(m.Recipients) != 1 {
		j.failures = make([]*smtp.Failure, len(m.Recipients))
	}
	j.content = mailbox.Content{Size: m.Message.Size, Bytes: m.Content, Open: m.Open}
	if m.Message.Envelope.Body == mail.BodyBinaryMIME {
		go j.deliverBinary() // there are no more of these than the local site has connections
		return
	}
	s.deliver(j)
}

// deliver sends a job to its shards.
func (s *Store) deliver(j *job) {
	m, done := j.m, j.done
	shards := s.o.Mailboxes.Shards()
	if shards == 0 {
		for i := range j.failures {
			if j.failures[i] = s.absent(m.Recipients[i].Address); j.failures[i] == nil {
				j.failures[i] = failNoShards
			}
		}
		done(j.failures)
		return
	}
	if len(m.Recipients) == 1 {
		b := &j.batch
		b.places, b.delivery.Items = j.place[:0], j.item[:0]
		j.begin(b, mailbox.Shard(m.Recipients[0].Address, shards))
		b.put(0)
		b.send()
		return
	}
	batches := make([]*batch, shards) // nil: nothing for the shard
	for i := range m.Recipients {
		n := mailbox.Shard(m.Recipients[i].Address, shards)
		if batches[n] == nil {
			batches[n] = &batch{}
			j.begin(batches[n], n)
		}
		batches[n].put(i)
	}
	for _, b := range batches {
		if b != nil {
			b.send()
		}
	}
}

// Settled implements delivery.LocalStore.
func (s *Store) Settled(m *queue.Message, recipients []uint32) {
	shards := s.o.Mailboxes.Shards()
	if shards == 0 {
		return
	}
	for _, n := range recipients {
		shard := mailbox.Shard(m.Envelope.Recipients[n].Address, shards)
		s.o.Mailboxes.Forget(shard, []mailbox.DedupRecord{{ID: m.ID, Recipient: n}})
	}
}

// absent is what a recipient without a mailbox is told; nil: it should have one.
func (s *Store) absent(address string) *smtp.Failure {
	if _, ok := s.o.Settings(address); ok {
		return nil
	}
	if local, _, _ := strings.Cut(address, "@"); strings.EqualFold(local, "postmaster") {
		return failNoPostmaster
	}
	if !s.o.Current() {
		return failNotSure
	}
	return failNoUser
}
