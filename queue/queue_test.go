package queue

import (
	"bytes"
	"crypto/rand"
	"io"
	"os"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue/machine"
)

func TestOneRecipientLeavesNothing(t *testing.T) {
	b := newBed(t, Options{Budget: mail.NewBudget(1 << 20)}).start()
	id := b.accept("a@example.net", "b@example.com")
	if n := len(b.rowsOf(machine.KeyMessage)) + len(b.rowsOf(machine.KeySchedule)); n != 2 {
		t.Fatalf("a fresh message has %d rows, want 2", n)
	}
	it := b.h.items[0]
	if it.Message.ID != id || it.Domain != "example.com" ||
		!bytes.Contains(it.Content, []byte("body")) {
		t.Fatalf("item %+v", it)
	}
	it.Release()
	if used := b.q.opts.Budget.Used(); used != 0 {
		t.Fatalf("%d octets still reserved", used)
	}
	b.settle(Outcome{ID: id, State: Relayed, Attempt: mail.Attempt{At: b.c.Now(), Code: 250}})
	if n := len(b.rowsOf(machine.KeyMessage)) + len(b.rowsOf(machine.KeySchedule)); n != 0 ||
		len(b.g.Now().Kept()) != 0 {
		t.Fatalf("%d rows and %d parts are left", n, len(b.g.Now().Kept()))
	}
	if len(b.h.gone) != 1 || b.h.gone[0] != id {
		t.Fatalf("gone: %v", b.h.gone)
	}
}

func TestLargeContentTravelsInChunks(t *testing.T) {
	b := newBed(t, Options{}).start()
	content := make([]byte, 3<<20+17)
	rand.Read(content)
	spill, err := mail.NewSpill(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := spill.Write(content[100:]); err != nil {
		t.Fatal(err)
	}
	got := make(chan answer, 1)
	c := &mail.Content{
		Chunks: [][]byte{content[:60], content[60:100]},
		Spill:  spill,
		Size:   int64(len(content)),
	}
	b.q.Submit(
		envelope("a@x.example", "b@y.example", "c@z.example"),
		c,
		func(id mail.ID, f *smtp.Failure) { got <- answer{id, f} },
	)
	a := <-got
	if a.fail != nil {
		t.Fatal(a.fail)
	}
	if len(b.rowsOf(machine.KeyChunk)) != 0 {
		t.Fatal("chunk rows are left")
	}
	for _, e := range b.g.Log() {
		for _, p := range e.Parts {
			if len(p) > machine.PartSize {
				t.Fatalf("a part of %d octets", len(p))
			}
		}
	}
	r := b.q.OpenContent(b.load(a.id).Message)
	read, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(read, content) {
		t.Fatalf("read %d octets, %v", len(read), err)
	}
	if r.Close(); len(b.h.items) != 2 {
		t.Fatalf("%d items, want 2", len(b.h.items))
	}
	if _, err := r.Read(make([]byte, 1)); err != os.ErrClosed {
		t.Fatal(err)
	}
	at := mail.Attempt{At: b.c.Now(), Code: 250}
	b.settle(
		Outcome{ID: a.id, State: Relayed, Attempt: at},
		Outcome{ID: a.id, Recipient: 1, State: Relayed, Attempt: at},
	)
	if n := len(b.g.Now().Kept()); n != 0 || len(b.rowsOf(machine.KeyMessage)) != 0 {
		t.Fatalf("%d parts left", n)
	}
}

// A large message is held in memory until it is delivered, unless it is too large or half of the
// budget is taken.
func TestLargeContentIsHeld(t *testing.T) {
	for _, c := range []struct {
		size, taken int64
		held        bool
	}{{2<<20 + 17, 0, true}, {largeHeld, 0, true}, {largeHeld + 1, 0, false},
		{2 << 20, 31 << 20, false}} {
		budget := mail.NewBudget(64 << 20)
		budget.TryReserve(c.taken)
		b := newBed(t, Options{Budget: budget}).start()
		content := make([]byte, c.size)
		rand.Read(content)
		got := make(chan answer, 1)
		b.q.Submit(
			envelope("a@x.example", "b@y.example", "c@z.example"),
			contentOf(content),
			func(id mail.ID, f *smtp.Failure) { got <- answer{id, f} },
		)
		if a := <-got; a.fail != nil {
			t.Fatal(a.fail)
		}
		b.q.Stop(t.Context()) // the proposer has let go, too
		for _, it := range b.h.items {
			if held := it.Content != nil; held != c.held ||
				held && !bytes.Equal(it.Content, content) {
				t.Fatalf("%d octets: %d are held", c.size, len(it.Content))
			}
			if it.Release != nil {
				it.Release()
			}
		}
		if used := budget.Used(); used != c.taken || len(b.h.items) != 2 {
			t.Fatalf("%d octets: %d reserved after %d items", c.size, used, len(b.h.items))
		}
	}
}

func TestDeferredComesBackWhenDue(t *testing.T) {
	b := newBed(t, Options{}).start()
	id := b.accept("a@x.example", "b@y.example", "c@y.example", "d@z.example")
	due := testEpoch.Add(5 * time.Minute)
	b.settle(
		Outcome{
			ID:        id,
			Recipient: 1,
			State:     Deferred,
			Due:       due,
			Attempt:   mail.Attempt{At: testEpoch, Code: 451, Enhanced: "4.7.1", Text: "later"},
		},
	)
	items, _, err := b.q.Due("y.example", Cursor{}, testEpoch.Add(time.Minute), 10)
	if err != nil || len(items) != 1 || len(items[0].Recipients) != 1 ||
		items[0].Recipients[0] != 0 {
		t.Fatalf("%+v, %v", items, err)
	}
	items, _, err = b.q.Due("y.example", Cursor{}, due, 10)
	if err != nil || len(items) != 2 || items[1].Recipients[0] != 1 || items[1].Attempts != 1 ||
		!items[1].Due.Equal(due) {
		t.Fatalf("%+v, %v", items, err)
	}
	domains, err := b.q.Domains("", 10)
	if err != nil || len(domains) != 2 || domains[0].Domain != "y.example" ||
		domains[1].Domain != "z.example" {
		t.Fatalf("%v, %v", domains, err)
	}
	s := b.load(id)
	if r := s.Recipients[1]; r.State != Deferred || r.Last.Text != "later" || r.Attempts != 1 {
		t.Fatalf("%+v", r)
	}
}
