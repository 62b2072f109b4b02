package mailbox

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/postroad/postroad/queue/queuetest"
)

// blocked is a group whose proposals wait until the gate opens.
type blocked struct {
	*queuetest.Group
	gate, entered chan struct{}
}

func (b *blocked) Propose(ctx context.Context, data []byte, parts [][]byte) (any, error) {
	if commandType(data[1]) == cmdAppend {
		b.entered <- struct{}{}
		select {
		case <-b.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return b.Group.Propose(ctx, data, parts)
}

// TestFrontIsBounded: the row of waiting items is bounded. At the end of a term those that waited
// were refused, and those under way are unknown.
func TestFrontIsBounded(t *testing.T) {
	b := newBed(t, Options{Proposers: 1, PendingItems: 3, PendingDrops: 2})
	g := &blocked{b.g, make(chan struct{}), make(chan struct{}, 10)}
	b.ok(b.s.Start(t.Context(), g, b.h))
	b.box("a@example.net", Settings{})
	answers := make(chan error, 10)
	send := func(n int) {
		b.s.Append(
			&Delivery{contentOf("x"), make([]Item, n)},
			func(_ []Result, err error) { answers <- err },
		)
	}
	if send(1); !errors.Is(<-answers, ErrName) {
		t.Fatal("an item without a mailbox was taken")
	}
	send = func(n int) {
		items := make([]Item, n)
		for i := range items {
			items[i].Mailbox = "a@example.net"
		}
		b.s.Append(&Delivery{contentOf("x"), items}, func(_ []Result, err error) { answers <- err })
	}
	send(1)
	<-g.entered
	send(2)
	if send(2); !errors.Is(<-answers, ErrBusy) {
		t.Fatal("too much waits")
	}
	b.ok(b.s.DropDedupRecords(make([]DedupRecord, 2)))
	if err := b.s.DropDedupRecords(make([]DedupRecord, 1)); !errors.Is(err, ErrBusy) {
		t.Fatal(err)
	}
	if s := b.stats(); s.Refused != 1 || !b.s.Owner() {
		t.Fatalf("%+v", s)
	}
	b.s.Abandon()
	if one, two := <-answers, <-answers; !(errors.Is(one, ErrRefused) &&
		errors.Is(two, ErrUnknown) || errors.Is(two, ErrRefused) && errors.Is(one, ErrUnknown)) {
		t.Fatal(one, two)
	}
	if send(1); !errors.Is(<-answers, ErrRefused) || b.s.Owner() {
		t.Fatal("taken after the term")
	}
}

// Contents that are read as they are needed; one that fails takes no other with it.
func TestContentFromReader(t *testing.T) {
	b := newBed(t, Options{Proposers: 1})
	g := &blocked{b.g, make(chan struct{}), make(chan struct{}, 10)}
	b.ok(b.s.Start(t.Context(), g, b.h))
	box := b.box("a@example.net", Settings{})
	answers := make(chan error, 10)
	send := func(c Content) {
		b.s.Append(
			&Delivery{c, []Item{{Mailbox: box.Address}}},
			func(_ []Result, err error) { answers <- err },
		)
	}
	from := func(text string, size int64) Content {
		return Content{
			Size: size,
			Open: func() (io.ReadCloser, error) {
				return io.NopCloser(strings.NewReader(text)),
					nil
			},
		}
	}
	send(contentOf("first"))
	<-g.entered
	send(from("second", 6)) // these are one command
	send(from("short", 6))
	send(Content{Size: 3, Open: func() (io.ReadCloser, error) { return nil, io.ErrClosedPipe }})
	send(Content{Size: 3, Bytes: []byte("four")})
	send(from("third", 5))
	close(g.gate)
	var failed int
	for range 6 {
		if err := <-answers; errors.Is(err, ErrContent) {
			failed++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if text := b.read(box, Inbox, 1) + b.read(box, Inbox, 2) + b.read(box, Inbox, 3); failed != 3 ||
		text != "firstsecondthird" {
		t.Fatal(failed, text)
	}
	r, err := b.s.OpenMessage(box, Inbox, 1)
	b.ok(err)
	if _, err := r.Seek(-1, io.SeekStart); err == nil {
		t.Fatal("before the start")
	}
	at, err := r.Seek(-2, io.SeekEnd)
	b.ok(err)
	var rest bytes.Buffer
	if _, err := rest.ReadFrom(r); at != 3 || err != nil || rest.String() != "st" {
		t.Fatal(at, rest.String(), err)
	}
	b.s.Stop(t.Context())
}
