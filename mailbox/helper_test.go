package mailbox

import (
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/mail"
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
	mu      sync.Mutex
	changes []Change
}

func (h *heard) Changed(changes []Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changes = append(h.changes, changes...)
}

// take returns what was heard since the last call.
func (h *heard) take() []Change {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.changes
	h.changes = nil
	return c
}

// bed is a store on a group in memory.
type bed struct {
	t    *testing.T
	s    *Store
	g    *queuetest.Group
	c    *testClock
	h    *heard
	keys uint32
}

func machineOf(s *Store) queuetest.Machine {
	return queuetest.Machine{
		Apply: func(w *queuetest.Writer, index, term uint64, data []byte, parts [][]byte) any {
			return s.Apply(w, index, term, data, parts)
		},
		Committed: s.Committed,
		Restored:  s.Restored,
	}
}

func newBed(t *testing.T, o Options) *bed {
	b := &bed{t: t, c: &testClock{now: testEpoch}, h: &heard{}}
	if o.NewClock == nil {
		o.NewClock = func(time.Time) Clock { return b.c }
	}
	b.s = New(o)
	b.g = queuetest.New(machineOf(b.s))
	b.g.Refused = ErrRefused
	return b
}

func (b *bed) start() *bed {
	b.t.Helper()
	b.ok(b.s.Start(b.t.Context(), b.g, b.h))
	b.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		b.s.Stop(ctx)
	})
	return b
}

func (b *bed) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// box makes a mailbox.
func (b *bed) box(address string, set Settings) Ref {
	b.t.Helper()
	r, err := b.s.CreateMailbox(b.t.Context(), address, set)
	b.ok(err)
	return r
}

// key is a new append key.
func (b *bed) key() AppendKey {
	b.keys++
	return AppendKey{ID: mail.ID{1, 2, 3}, Recipient: b.keys}
}

func contentOf(text string) Content { return Content{Size: int64(len(text)), Bytes: []byte(text)} }

// send appends and waits.
func (b *bed) send(c Content, items ...Item) ([]Result, error) {
	var results []Result
	var failed error
	done := make(chan struct{})
	b.s.Append(&Delivery{c, items}, func(r []Result, err error) {
		results, failed = r, err
		close(done)
	})
	<-done
	return results, failed
}

// store appends one message, which must be taken, and returns its UID.
func (b *bed) store(text string, it Item) UID {
	b.t.Helper()
	r, err := b.send(contentOf(text), it)
	b.ok(err)
	if r[0].Code != Stored {
		b.t.Fatalf("append to %s: %+v", it.Mailbox, r[0])
	}
	return r[0].UID
}

// list is a folder's messages in words.
func (b *bed) list(box Ref, folder uint32) (all []string) {
	b.t.Helper()
	b.ok(b.s.Messages(box, folder, Range{}, func(m *Message) bool {
		all = append(all, fmt.Sprintf("%d:%d", m.UID, m.Flags))
		return true
	}))
	return all
}

func (b *bed) read(box Ref, folder uint32, uid UID) string {
	b.t.Helper()
	r, err := b.s.OpenMessage(box, folder, uid)
	b.ok(err)
	defer r.Close()
	all, err := io.ReadAll(r)
	b.ok(err)
	return string(all)
}

func (b *bed) stats() Stats {
	b.t.Helper()
	s, err := b.s.Stats()
	b.ok(err)
	return s
}

// rows counts the rows of a kind.
func (b *bed) rows(kind byte) (n int) {
	b.g.Now().Rows(func(k, _ []byte) {
		if k[0] == kind {
			n++
		}
	})
	return n
}
