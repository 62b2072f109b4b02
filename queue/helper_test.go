package queue

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue/queuetest"
)

// testClock is set by the test.
type testClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *testClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

var testEpoch = time.UnixMilli(1_700_000_000_000)

// heard is a Listener that remembers.
type heard struct {
	mu          sync.Mutex
	items       []Item
	changed     []mail.ID
	gone        []mail.ID
	suspensions []Suspensions
}

func (h *heard) Accepted(items []Item) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.items = append(h.items, items...)
}

func (h *heard) Changed(ids []mail.ID, domains []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changed = append(h.changed, ids...)
}

func (h *heard) Suspended(s Suspensions) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.suspensions = append(h.suspensions, s)
}

func (h *heard) Gone(ids []mail.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gone = append(h.gone, ids...)
}

// bed is a queue on a group in memory.
type bed struct {
	t *testing.T
	q *Queue
	g *queuetest.Group
	c *testClock
	h *heard
}

func machineOf(q *Queue) queuetest.Machine {
	return queuetest.Machine{
		Apply: func(w *queuetest.Writer, index, term uint64, data []byte, parts [][]byte) any {
			return q.Apply(w, index, term, data, parts)
		},
		Committed: q.Committed,
	}
}

func newBed(t *testing.T, o Options) *bed {
	b := &bed{t: t, c: &testClock{now: testEpoch}, h: &heard{}}
	if o.NewClock == nil {
		o.NewClock = func(time.Time) Clock { return b.c }
	}
	b.q = New(o)
	b.g = queuetest.New(machineOf(b.q))
	b.g.Refused = ErrRefused
	return b
}

func (b *bed) start() *bed {
	b.t.Helper()
	if err := b.q.Start(context.Background(), b.g, b.h); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { b.stop() })
	return b
}

func (b *bed) stop() {
	b.t.Helper()
	if b.q.run.Load() == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := b.q.Stop(ctx); err != nil {
		b.t.Error(err)
	}
}

type answer struct {
	id   mail.ID
	fail *smtp.Failure
}

// envelope is queuetest.Envelope.
var envelope = queuetest.Envelope

func contentOf(b []byte) *mail.Content {
	return &mail.Content{Chunks: [][]byte{b}, Size: int64(len(b))}
}

// send submits and waits for the answer.
func (b *bed) send(e *mail.Envelope, content []byte) answer {
	got := make(chan answer, 1)
	b.q.Submit(e, contentOf(content), func(id mail.ID, f *smtp.Failure) { got <- answer{id, f} })
	return <-got
}

func (b *bed) accept(sender string, recipients ...string) mail.ID {
	b.t.Helper()
	a := b.send(envelope(sender, recipients...), []byte("Subject: hello\r\n\r\nbody\r\n"))
	if a.fail != nil {
		b.t.Fatal(a.fail)
	}
	return a.id
}

// settle records outcomes and waits.
func (b *bed) settle(outcomes ...Outcome) {
	b.t.Helper()
	got := make(chan error, 1)
	b.q.Settle(outcomes, func(err error) { got <- err })
	if err := <-got; err != nil {
		b.t.Fatal(err)
	}
}

func (b *bed) load(id mail.ID) *Stored {
	b.t.Helper()
	s, err := b.q.Load(id)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// rowsOf lists the keys of the state by their first letter.
func (b *bed) rowsOf(kind byte) (keys [][]byte) {
	b.g.Now().Rows(func(k, _ []byte) {
		if k[0] == kind {
			keys = append(keys, bytes.Clone(k))
		}
	})
	return keys
}

// readAll reads a stored content.
func (b *bed) readAll(m *Message) []byte {
	b.t.Helper()
	var buf bytes.Buffer
	if _, err := b.q.OpenContent(m).WriteTo(&buf); err != nil {
		b.t.Fatal(err)
	}
	return buf.Bytes()
}
