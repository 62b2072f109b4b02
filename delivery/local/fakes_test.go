package local

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/mailbox"
	"github.com/postroad/postroad/queue"
)

const testPatience = 8 * time.Second

// world is a Store between fakes: four shards in a map, a directory, a queue. All of it runs in a
// bubble of testing/synctest.
type world struct {
	*testing.T
	store   *Store
	users   map[string]bool
	current bool

	mu      sync.Mutex
	shards  int
	there   map[string]mailbox.Settings
	full    map[string]bool
	warn    map[string]bool
	keys    map[mailbox.AppendKey]bool
	got     map[string][]string // prefixes and contents
	appends int
	made    int
	forgot  map[int][]mailbox.DedupRecord
	err     map[int]error // of appends, by shard
	all     error         // of all appends
	makeErr error

	warnings []*mail.Envelope
	texts    []string
	refuse   *smtp.Failure // what the queue says to warnings
	log      []string
}

// play runs a test with mailboxes for some addresses, and users of these and some others.
func play(t *testing.T, mailboxes, others string, run func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			T: t, users: map[string]bool{}, current: true, shards: 4,
			there: map[string]mailbox.Settings{}, full: map[string]bool{},
			warn: map[string]bool{}, keys: map[mailbox.AppendKey]bool{},
			got: map[string][]string{}, forgot: map[int][]mailbox.DedupRecord{},
			err: map[int]error{},
		}
		for _, address := range strings.Fields(mailboxes) {
			w.there[address], w.users[address] = mailbox.Settings{}, true
		}
		for _, address := range strings.Fields(others) {
			w.users[address] = true
		}
		w.store = New(Options{
			Mailboxes: w, Patience: testPatience, Settings: w.settings,
			Current: func() bool { return w.current }, Submitter: w, Hostname: "mx.example",
			Logf: func(format string, args ...any) {
				w.log = append(w.log, fmt.Sprintf(format, args...))
			},
		})
		run(w)
	})
}

// appended returns how many appends there were since the last time, once all is at rest.
func (w *world) appended() int {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.appends
	w.appends = 0
	return n
}

// settings are what the directory says of a mailbox.
func (w *world) settings(address string) (mailbox.Settings, bool) {
	if address == "tiny@h" {
		return mailbox.Settings{Hard: 3}, w.users[address]
	}
	return mailbox.Settings{Soft: 5 << 20, Hard: 6 << 20}, w.users[address]
}

func (w *world) Shards() int { return w.shards }

func (w *world) Append(shard int, d *mailbox.Delivery, done func([]mailbox.Result, error)) {
	done(w.append(shard, d))
}

func (w *world) append(shard int, d *mailbox.Delivery) (results []mailbox.Result, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.appends++
	if w.all != nil {
		return nil, w.all
	}
	if err := w.err[shard]; err != nil {
		return nil, err
	}
	for i := range d.Items {
		it := &d.Items[i]
		if mailbox.Shard(it.Mailbox, w.shards) != shard {
			w.Errorf("%s is not in shard %d", it.Mailbox, shard)
		}
		_, there := w.there[it.Mailbox]
		code := mailbox.Stored
		switch {
		case w.keys[it.Key]:
			code = mailbox.Duplicate
		case !there:
			code = mailbox.NoMailbox
		case w.full[it.Mailbox]:
			code = mailbox.Full
		default:
			w.keys[it.Key] = true
			r, err := d.Content.Reader()
			if err != nil {
				return nil, err
			}
			content, err := io.ReadAll(r)
			r.Close()
			if err != nil || int64(len(content)) != d.Content.Size {
				w.Errorf("%d octets, announced %d, %v", len(content), d.Content.Size, err)
			}
			text := string(it.Prefix) + string(content)
			w.got[it.Mailbox] = append(w.got[it.Mailbox], text)
		}
		warn := code == mailbox.Stored && w.warn[it.Mailbox]
		results = append(results, mailbox.Result{Code: code, Warn: warn})
	}
	return results, nil
}

func (w *world) Forget(shard int, records []mailbox.DedupRecord) {
	w.forgot[shard] = append(w.forgot[shard], records...)
}

func (w *world) Create(_ context.Context, address string, s mailbox.Settings) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.made++
	if w.makeErr == nil {
		w.there[address] = s
	}
	return w.makeErr
}

// Submit is the queue's.
func (w *world) Submit(
	env *mail.Envelope, content *mail.Content, done func(mail.ID, *smtp.Failure),
) {
	w.mu.Lock()
	w.warnings = append(w.warnings, env)
	w.texts = append(w.texts, string(content.Chunks[0]))
	w.mu.Unlock()
	done(mail.ID{}, w.refuse)
}

// numbered is the numbered message to some recipients.
func numbered(number byte, to ...string) *delivery.LocalMessage {
	m := &delivery.LocalMessage{
		Message: &queue.Message{ID: mail.ID{9: number}, Size: 5, Envelope: &mail.Envelope{}},
		Content: []byte("hello"),
	}
	for i, a := range to {
		m.Message.Envelope.Recipients = append(m.Message.Envelope.Recipients,
			mail.Recipient{Address: a})
		m.Recipients = append(m.Recipients, delivery.LocalRecipient{
			Number: uint32(i), Address: a, Prefix: []byte("for " + a + ": "),
		})
	}
	return m
}

// deliver delivers a message to recipients, and returns the enhanced codes of what became of them;
// "ok" is delivered.
func (w *world) deliver(number byte, to string) string {
	w.Helper()
	got := make(chan []*smtp.Failure, 2)
	m := numbered(number, strings.Fields(to)...)
	w.store.Deliver(m, func(f []*smtp.Failure) { got <- f })
	failures := <-got
	if synctest.Wait(); len(got) > 0 {
		w.Error("a message was answered twice")
	}
	return codes(failures)
}

func codes(failures []*smtp.Failure) string {
	var all []string
	for _, f := range failures {
		if f == nil {
			all = append(all, "ok")
		} else {
			all = append(all, f.Enhanced)
		}
	}
	return strings.Join(all, " ")
}

// delivers checks what becomes of a message.
func (w *world) delivers(number byte, to, want string) {
	w.Helper()
	if got := w.deliver(number, to); got != want {
		w.Errorf("message %d to %s: %s, want %s", number, to, got, want)
	}
}
