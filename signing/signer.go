package signing

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/mailauth/dkim"
)

// Submitter takes a message on, as intake's does.
type Submitter interface {
	Submit(env *mail.Envelope, content *mail.Content, done func(mail.ID, *smtp.Failure))
}

// Book is what a Signer asks. Its methods do not block and are safe for use by several goroutines.
type Book interface {
	// KeysOf returns the keys of a domain in A-labels.
	KeysOf(domain string) []*directory.SigningKey
	// MaySign reports whether who sent a message has the right to send as an address, and so gets
	// its domain's signature.
	MaySign(o *mail.Origin, address string) bool
	// SignsFor reports whether a key of that tenant is for mail of that origin.
	SignsFor(o *mail.Origin, tenant string) bool
}

// Options are what a Signer needs. All are required, but Workers, Waiting and Now.
type Options struct {
	Book Book
	// Open opens a private key that was sealed for a purpose.
	Open func(purpose string, sealed []byte) ([]byte, error)
	// Next takes the messages on, signed or not.
	Next Submitter
	// Workers is how many signatures are made at a time; 0: one for each processor.
	Workers int
	// Waiting is how many messages may wait for a signature; 0: defaultWaiting.
	Waiting int
	Now     func() time.Time
	// Unsigned hears of a message that should have a signature and goes without one.
	Unsigned func(domain string, why error)
}

// defaultWaiting is how many messages wait for a signature. Each is of a session that waits for its
// reply, so that connections bound them, too.
const defaultWaiting = 4096

// Stats are what a Signer did since it was made.
type Stats struct {
	Signed   uint64 // messages with a signature
	Unsigned uint64 // messages that should have had one
	Busy     uint64 // messages that were put off, because too many waited
}

// Signer signs messages. Submit may be called by several goroutines.
type Signer struct {
	o       Options
	jobs    chan job
	quit    chan struct{} // closed by Close
	workers sync.WaitGroup
	keys    parsedKeys

	signed, unsigned, busy atomic.Uint64
}

// job is a message that is to be signed.
type job struct {
	env     *mail.Envelope
	content *mail.Content
	draft   *Draft
	keys    []*directory.SigningKey
	done    func(mail.ID, *smtp.Failure)
}

// New returns a Signer whose workers run until Close.
func New(o Options) *Signer {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Waiting <= 0 {
		o.Waiting = defaultWaiting
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Signer{o: o, jobs: make(chan job, o.Waiting), quit: make(chan struct{})}
	s.keys.open, s.keys.most = o.Open, maxParsed
	for range o.Workers {
		s.workers.Go(s.work)
	}
	return s
}

// work makes one signature after the other until Close.
func (s *Signer) work() {
	for {
		select {
		case j := <-s.jobs:
			s.do(j)
		case <-s.quit:
			return
		}
	}
}

// Close ends the workers. Clients whose messages wait still get no answer, and try again.
func (s *Signer) Close() {
	close(s.quit)
	s.workers.Wait()
	s.keys.close()
}

// Stats returns what the signer did.
func (s *Signer) Stats() Stats {
	return Stats{Signed: s.signed.Load(), Unsigned: s.unsigned.Load(), Busy: s.busy.Load()}
}

var failBusy = smtp.Temp(smtp.InsufficientStorage, "4.3.2",
	"Too many messages wait for their signatures; try again in a moment")

// Submit takes a message; it does not block.
func (s *Signer) Submit(
	env *mail.Envelope, content *mail.Content, done func(mail.ID, *smtp.Failure),
) {
	draft, _ := content.Watcher.(*Draft)
	content.Watcher = nil
	if draft == nil { // who sent it gets no signature
		s.o.Next.Submit(env, content, done)
		return
	}
	keys := s.choose(&env.Origin, draft)
	if len(keys) == 0 {
		draft.Release()
		s.o.Next.Submit(env, content, done)
		return
	}
	select {
	case s.jobs <- job{env, content, draft, keys, done}:
	default:
		s.busy.Add(1)
		draft.Release()
		content.Release()
		done(mail.ID{}, failBusy)
	}
}

// choose returns the keys with which a message is signed: of the domain of its one author, who must
// be somebody whom its sender may be, and the newest of each algorithm.
func (s *Signer) choose(o *mail.Origin, draft *Draft) (keys []*directory.SigningKey) {
	author, ok := Author(draft.head)
	if !ok {
		return nil
	}
	domain, err := smtp.Domain(mail.DomainOf(author))
	if err != nil {
		return nil
	}
	all := s.o.Book.KeysOf(domain)
	if len(all) == 0 || !s.o.Book.MaySign(o, author) {
		return nil
	}
	for _, k := range all {
		if k.State != directory.KeyActive || !s.o.Book.SignsFor(o, k.Tenant) {
			continue
		}
		keys = newest(keys, k)
	}
	return keys
}

// newest adds a key, or puts it in the place of an older one of its algorithm. One of the sender's
// tenant comes before one of all tenants.
func newest(keys []*directory.SigningKey, k *directory.SigningKey) []*directory.SigningKey {
	for i, other := range keys {
		if other.Algorithm != k.Algorithm {
			continue
		}
		if better := k.Since.After(other.Since); (k.Tenant != "") != (other.Tenant != "") {
			if k.Tenant != "" {
				keys[i] = k
			}
		} else if better {
			keys[i] = k
		}
		return keys
	}
	return append(keys, k)
}

// do signs a message and hands it on. One that cannot be signed goes without: its receivers decide
// what that is worth, and a key that is lost does not stop mail.
func (s *Signer) do(j job) {
	fields, err := s.sign(j)
	if err != nil {
		s.unsigned.Add(1)
		s.o.Unsigned(j.keys[0].Domain(), err)
	} else {
		j.content.Prepend(fields)
		s.signed.Add(1)
	}
	j.draft.Release()
	s.o.Next.Submit(j.env, j.content, j.done)
}

var errTooBig = errors.New("its header is too long")

func (s *Signer) sign(j job) (fields []byte, err error) {
	if j.draft.tooBig {
		return nil, errTooBig
	}
	signatures := make([]*dkim.Signature, len(j.keys))
	for try := 0; ; try++ {
		for i, k := range j.keys {
			if signatures[i], err = s.keys.get(k); err != nil {
				return nil, err
			}
		}
		fields, err = dkim.Sign(j.draft.head, j.draft.body, signatures, s.o.Now())
		if !isClosed(err) || try == 3 { // else its place was needed just then
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("signing for %s: %w", strings.Join(names(j.keys), ", "), err)
	}
	return fields, nil
}

func names(keys []*directory.SigningKey) (all []string) {
	for _, k := range keys {
		all = append(all, k.Name)
	}
	return all
}
