package record

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
)

// TestLookInBetween: what may come yet is awaited and not lost, what is wrong already is wrong, and
// nothing is final before all that was sent has arrived.
func TestLookInBetween(t *testing.T) {
	open := Rules{ReceivedOpen: true}
	both := Rules{SentOpen: true, ReceivedOpen: true}
	for _, c := range []struct {
		name      string
		rules     Rules
		plant     func(*run)
		ok, final bool
		awaited   int
		early     int
		says      string
	}{
		{"all arrived", open, func(*run) {}, true, true, 0, 0,
			"A look in between: the receiving server is still at it. 0 recipients are awaited"},
		{"not arrived yet", open, func(r *run) { r.received = r.received[:90] }, true, false, 10, 0,
			"awaited: run-1-90"},
		{"not told of yet", both, func(r *run) { r.sent = r.sent[:95] }, true, false, 0, 5,
			"5 arrived that the generator's record does not tell of yet"},
		{"changed", open, func(r *run) { r.received[7].Sum[7]++ }, false, true, 0, 0,
			"changed: run-1-7"},
		{"twice", open, func(r *run) { r.received = append(r.received[:50], r.received[1]) }, false,
			false, 50, 0, "duplicated: run-1-1"},
		{"whole", Rules{}, func(r *run) { r.received = r.received[:99] }, false, true, 0, 0,
			"lost: run-1-99"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := cleanRun(100)
			c.plant(r)
			got := r.check(t, c.rules)
			if got.OK() != c.ok || got.Final() != c.final || got.Awaited.N != c.awaited ||
				got.Early != c.early || !strings.Contains(got.String(), c.says) {
				t.Errorf("ok %v, final %v, %q is to be in\n%v", got.OK(), got.Final(), c.says, got)
			}
			if between := strings.Contains(got.String(), "in between"); between !=
				c.rules.ReceivedOpen {
				t.Errorf("a look in between: %v\n%v", between, got)
			}
		})
	}
}

// TestWriterIsSeen: while a record's file is open for its writer, others see that it is, and a
// second writer leaves it alone.
func TestWriterIsSeen(t *testing.T) {
	name := filepath.Join(t.TempDir(), "sink.rec")
	f, err := Create(name)
	if err != nil {
		t.Fatal(err)
	}
	l := NewReceivedLog()
	must(t, l.Stream(f))
	must(t, l.Add(receivedMessage(1)))
	must(t, l.Flush())
	if _, err := Create(name); err == nil || !strings.Contains(err.Error(), "another program") {
		t.Errorf("a second writer: %v", err)
	}
	look := func(writing bool, want error) {
		t.Helper()
		in, err := os.Open(name)
		must(t, err)
		defer in.Close()
		if got := BeingWritten(in); got != writing {
			t.Errorf("being written: %v, want %v", got, writing)
		}
		if got, err := ReadReceived(in); !errors.Is(err, want) || got.Len() != 1 {
			t.Errorf("%d entries, %v, want %v", got.Len(), err, want)
		}
	}
	look(true, ErrTruncated)
	must(t, l.Finish())
	look(true, nil)
	must(t, f.Close())
	look(false, nil)
}

// TestKeepFlushed: an entry is in the file soon after it came, long before its block is full.
func TestKeepFlushed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := make(chan int, 10)
		l := NewReceivedLog()
		must(t, l.Stream(writes(file)))
		<-file // the head
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		must(t, l.Add(receivedMessage(1)))
		go l.KeepFlushed(ctx)
		if n := <-file; n < 50 {
			t.Errorf("%d octets were written", n)
		}
	})
}

// writes says how much each write has.
type writes chan int

func (w writes) Write(p []byte) (int, error) {
	w <- len(p)
	return len(p), nil
}
