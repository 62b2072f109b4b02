package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/mailbox"
	"github.com/postroad/postroad/queue/queuetest"
)

// member is a member with one shard, reached over HTTP.
type member struct {
	t        *testing.T
	store    *mailbox.Store
	server   *httptest.Server
	owned    atomic.Bool
	requests atomic.Int64
	cut      atomic.Bool // answers are lost
}

func (m *member) Held(int) *mailbox.Store { return m.store }
func (m *member) Owned(shard int) *mailbox.Store {
	if m.owned.Load() && shard == 3 {
		return m.store
	}
	return nil
}

type nobody struct{}

func (nobody) Changed([]mailbox.Change) {}

func newMember(t *testing.T) *member {
	m := &member{
		t:     t,
		store: mailbox.New(mailbox.Options{Proposers: 1}),
	} // so that commands keep their order
	g := queuetest.New(queuetest.Machine{
		Apply: func(w *queuetest.Writer, index, term uint64, data []byte, parts [][]byte) any {
			return m.store.Apply(w, index, term, data, parts)
		},
		Committed: m.store.Committed, Restored: m.store.Restored,
	})
	g.Refused = mailbox.ErrRefused
	if err := m.store.Start(t.Context(), g, nobody{}); err != nil {
		t.Fatal(err)
	}
	m.owned.Store(true)
	h := Handler(m)
	m.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.requests.Add(1)
		h.ServeHTTP(w, r)
		if m.cut.Load() {
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(func() {
		m.server.Close()
		m.store.Stop(context.Background())
	})
	return m
}

func (m *member) call(
	ctx context.Context, path string, body io.Reader, read func(io.Reader) error,
) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.server.URL+path, body)
	if err != nil {
		return err
	}
	resp, err := m.server.Client().Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", resp.Status)
	}
	if read == nil {
		return nil
	}
	return read(resp.Body)
}

// do makes a request that must succeed.
func (m *member) do(q Request) Reply {
	m.t.Helper()
	r, err := m.try(q)
	if err != nil {
		m.t.Fatalf("%s: %v", q.Verb, err)
	}
	return r
}

func (m *member) try(q Request) (r Reply, err error) {
	q.Shard = 3
	err = m.call(m.t.Context(), PathVerb, q.Body(), func(from io.Reader) (err error) {
		r, err = ReadReply(from)
		return err
	})
	if err == nil {
		err = r.Err()
	}
	return r, err
}

func (m *member) read(box mailbox.Ref, uid mailbox.UID) []byte {
	m.t.Helper()
	var all []byte
	for q := (Request{Shard: 3, Box: box, Folder: mailbox.Inbox,
		UIDs: []mailbox.UID{uid}}); ; q.At = int64(len(all)) {
		var size int64
		err := m.call(m.t.Context(), PathPiece, q.Body(), func(from io.Reader) error {
			piece, n, err := ReadPiece(from, &q)
			all, size = append(all, piece...), n
			return err
		})
		if err != nil {
			m.t.Fatal(err)
		}
		if int64(len(all)) == size {
			return all
		}
	}
}

type outcome struct {
	results []mailbox.Result
	err     error
}

func delivery(n uint32, content string, boxes ...string) *mailbox.Delivery {
	d := &mailbox.Delivery{
		Content: mailbox.Content{Size: int64(len(content)), Bytes: []byte(content)},
	}
	for i, b := range boxes {
		d.Items = append(d.Items, mailbox.Item{
			Key: mailbox.AppendKey{
				ID:        mail.ID{9, byte(n >> 8), byte(n)},
				Recipient: uint32(i),
			}, Mailbox: b, Flags: mailbox.Flagged,
			Date: time.UnixMilli(1_700_000_000_123), Prefix: []byte("Delivered-To: " + b + "\r\n"),
		})
	}
	return d
}

func appendNow(s *Sender, shard int, d *mailbox.Delivery) outcome {
	c := make(chan outcome, 1)
	s.Append(shard, d, func(results []mailbox.Result, err error) { c <- outcome{results, err} })
	return <-c
}

func TestAppend(t *testing.T) {
	m := newMember(t)
	m.do(Request{Verb: "create", Address: "a@x"})
	m.do(Request{Verb: "create", Address: "b@x", Settings: mailbox.Settings{Hard: 10}})
	s := NewSender(m.call)
	first := appendNow(s, 3, delivery(1, "hello\r\n", "a@x", "b@x", "c@x"))
	want := []mailbox.Result{
		{Code: mailbox.Stored, UID: 1},
		{Code: mailbox.Full},
		{Code: mailbox.NoMailbox},
	}
	if first.err != nil || !slices.Equal(first.results, want) {
		t.Fatalf("%+v, want %+v", first, want)
	}
	if again := appendNow(s, 3, delivery(1, "hello\r\n", "a@x")); again.err != nil ||
		again.results[0].Code != mailbox.Duplicate {
		t.Fatalf("%+v, want a duplicate", again)
	}
	if other := appendNow(s, 4, delivery(2, "x", "a@x")); !errors.Is(
		other.err,
		mailbox.ErrRefused,
	) {
		t.Fatalf("another shard: %+v", other)
	}
	box := m.do(Request{Verb: "mailbox", Address: "a@x"}).Mailbox
	if got := m.read(box.Ref, 1); string(got) != "Delivered-To: a@x\r\nhello\r\n" {
		t.Fatalf("%q", got)
	}
	var list []mailbox.Message
	q := Request{Shard: 3, Box: box.Ref, Folder: mailbox.Inbox}
	err := m.call(
		t.Context(),
		PathMessages,
		q.Body(),
		func(from io.Reader) (err error) { list, err = ReadMessages(from); return err },
	)
	if err != nil || len(list) != 1 || list[0].UID != 1 || list[0].Flags != mailbox.Flagged ||
		list[0].Size != box.Bytes ||
		list[0].Date != 1_700_000_000_123 {
		t.Fatalf("%+v %v", list, err)
	}
	records := []mailbox.DedupRecord{{ID: mail.ID{9, 0, 1}}}
	if err := m.call(t.Context(), PathForget, bytes.NewReader(AppendRecords([]byte{3}, records)),
		nil); err != nil {
		t.Fatal(err)
	}
	if again := appendNow(s, 3, delivery(1, "hello\r\n", "a@x")); again.err != nil ||
		again.results[0].Code != mailbox.Stored {
		t.Fatalf("after Forget: %+v", again)
	}
}

// TestBatches: many small appends are few requests, and each has its own outcome; a large content
// is whole.
func TestBatches(t *testing.T) {
	m := newMember(t)
	s := NewSender(m.call)
	const boxes, most = 20, 2000
	for i := range boxes {
		m.do(Request{Verb: "create", Address: fmt.Sprintf("u%d@x", i)})
	}
	before := m.requests.Load()
	var all sync.WaitGroup
	var bad atomic.Int64
	for i := range most {
		all.Add(1)
		d := delivery(uint32(i), strings.Repeat("x", i), fmt.Sprintf("u%d@x", i%boxes))
		if i%2 == 0 {
			content := d.Content.Bytes
			d.Content.Bytes, d.Content.Open = nil, func() (io.ReadCloser, error) {
				return io.NopCloser(bytes.NewReader(content)), nil
			}
		}
		s.Append(3, d, func(r []mailbox.Result, err error) {
			if err != nil || r[0].Code != mailbox.Stored {
				bad.Add(1)
			}
			all.Done()
		})
	}
	all.Wait()
	if bad.Load() > 0 {
		t.Fatalf("%d of %d appends were not stored", bad.Load(), most)
	}
	requests := m.requests.Load() - before
	if t.Logf("%d appends in %d requests", most, requests); requests > most/2 {
		t.Errorf("%d appends were %d requests", most, requests)
	}
	large := strings.Repeat("0123456789abcdef", 200_000) // 3.2 MB: chunks at the owner, pieces back
	if got := appendNow(s, 3, delivery(9999, large, "u0@x")); got.err != nil ||
		got.results[0].Code != mailbox.Stored {
		t.Fatalf("%+v", got)
	}
	box := m.do(Request{Verb: "mailbox", Address: "u0@x"}).Mailbox
	if got := m.read(box.Ref, mailbox.UID(box.Messages)); !strings.HasSuffix(string(got), large) ||
		int64(len(got)) != int64(len(large)+len("Delivered-To: u0@x\r\n")) {
		t.Fatalf("%d octets came back", len(got))
	}
}

// TestTogether: what is appended together has its UIDs in order.
func TestTogether(t *testing.T) {
	m := newMember(t)
	m.do(Request{Verb: "create", Address: "a@x"})
	var all []*mailbox.Delivery
	for i := range 100 {
		all = append(all, delivery(uint32(i), fmt.Sprint("message ", i), "a@x", "b@x"))
	}
	results, err := AppendBatch(t.Context(), m.call, 3, all)
	if err != nil || len(results) != len(all) {
		t.Fatal(len(results), err)
	}
	for i, r := range results {
		if r[0] != (mailbox.Result{Code: mailbox.Stored, UID: mailbox.UID(i + 1)}) ||
			r[1].Code != mailbox.NoMailbox {
			t.Fatalf("message %d: %+v", i, r)
		}
	}
	if again, err := AppendBatch(t.Context(), m.call, 3, all); err != nil ||
		again[99][0].Code != mailbox.Duplicate {
		t.Fatal(again, err)
	}
	if _, err := AppendBatch(t.Context(), m.call, 4, all); !errors.Is(err, mailbox.ErrRefused) {
		t.Fatalf("another shard: %v", err)
	}
	if _, err := AppendBatch(t.Context(), m.call, 3,
		[]*mailbox.Delivery{delivery(0, strings.Repeat("x", mailbox.MaxBatch+1),
			"a@x")}); err == nil {
		t.Fatal("too much was taken")
	}
	m.cut.Store(true)
	if _, err := AppendBatch(t.Context(), m.call, 3, all); !errors.Is(err, mailbox.ErrUnknown) {
		t.Fatalf("a lost answer: %v", err)
	}
}

// TestLostAnswer: what was on its way when the answer was lost is unknown, and stored once when it
// is tried again.
func TestLostAnswer(t *testing.T) {
	m := newMember(t)
	m.do(Request{Verb: "create", Address: "a@x"})
	s := NewSender(m.call)
	m.cut.Store(true)
	if lost := appendNow(s, 3, delivery(1, "x", "a@x")); !errors.Is(lost.err, mailbox.ErrUnknown) {
		t.Fatalf("%+v", lost)
	}
	m.cut.Store(false)
	if again := appendNow(s, 3, delivery(1, "x", "a@x")); again.err != nil ||
		again.results[0].Code != mailbox.Duplicate {
		t.Fatalf("%+v", again)
	}
	refused := NewSender(
		func(context.Context, string, io.Reader,
			func(io.Reader) error) error {
			return mailbox.ErrRefused
		},
	)
	if got := appendNow(refused, 3, delivery(1, "x", "a@x")); !errors.Is(
		got.err,
		mailbox.ErrRefused,
	) ||
		errors.Is(got.err, mailbox.ErrUnknown) {
		t.Fatalf("%+v", got)
	}
}

// TestBusy: what waits for a member that does not answer has a bound.
func TestBusy(t *testing.T) {
	hang := make(chan struct{})
	s := NewSender(func(context.Context, string, io.Reader, func(io.Reader) error) error {
		<-hang
		return mailbox.ErrRefused
	})
	var busy atomic.Int64
	for i := range pendingItems + batchMost*smallLanes + 100 {
		s.Append(3, delivery(uint32(i), "x", "a@x"), func(_ []mailbox.Result, err error) {
			if errors.Is(err, mailbox.ErrBusy) {
				busy.Add(1)
			}
		})
	}
	if busy.Load() < 100 || s.Waiting() > pendingItems {
		t.Errorf("%d were refused, %d wait", busy.Load(), s.Waiting())
	}
	close(hang)
}

func TestRequests(t *testing.T) {
	m := newMember(t)
	if _, err := m.try(Request{Verb: "mailbox", Address: "a@x"}); !errors.Is(
		err,
		mailbox.ErrNoMailbox,
	) {
		t.Fatal(err)
	}
	set := mailbox.Settings{Soft: 1, Hard: 1 << 40, Retention: time.Hour}
	m.do(Request{Verb: "create", Address: "a@x", Settings: set})
	m.do(Request{Verb: "create", Address: "a@x"})
	set.Soft = 7
	m.do(Request{Verb: "configure", Address: "a@x", Settings: set})
	box := m.do(Request{Verb: "mailbox", Address: "a@x"}).Mailbox
	if box.Settings != set || box.Address != "a@x" || box.Folders != 1 {
		t.Fatalf("%+v", box)
	}
	m.do(Request{Verb: "folder", Box: box.Ref, Name: "Sent"})
	m.do(Request{Verb: "folder", Box: box.Ref, Name: "Sent"})
	if f := m.do(Request{Verb: "folders", Box: box.Ref}).Folders; len(f) != 2 ||
		f[1].Name != "Sent" {
		t.Fatalf("%+v", f)
	}
	if l := m.do(Request{Verb: "list", Most: 10}).Mailboxes; len(l) != 1 || l[0].Ref != box.Ref {
		t.Fatalf("%+v", l)
	}
	lock := m.do(Request{Verb: "lock", Address: "a@x"}).Lock
	if _, err := m.try(Request{Verb: "lock", Address: "a@x"}); !errors.Is(err, mailbox.ErrLocked) {
		t.Fatal(err)
	}
	m.do(Request{Verb: "renew", Lock: lock})
	m.do(Request{Verb: "update", Lock: lock, UIDs: []mailbox.UID{1, 2}})
	m.do(Request{Verb: "unlock", Lock: lock})
	if _, err := m.try(Request{Verb: "renew", Lock: lock}); !errors.Is(err, mailbox.ErrStaleLock) {
		t.Fatal(err)
	}
	m.do(Request{Verb: "remove", Address: "a@x"})
	m.do(Request{Verb: "remove", Address: "a@x"})
	if _, err := m.try(Request{Verb: "fly"}); !errors.Is(err, mailbox.ErrRefused) {
		t.Fatal(err)
	}
	m.owned.Store(false)
	if _, err := m.try(Request{Verb: "folders", Box: box.Ref}); !errors.Is(
		err,
		mailbox.ErrRefused,
	) {
		t.Fatal(err)
	}
	q := Request{Shard: 3, Box: box.Ref, Folder: mailbox.Inbox, UIDs: []mailbox.UID{1}}
	err := m.call(
		t.Context(),
		PathPiece,
		q.Body(),
		func(from io.Reader) error { _, _, err := ReadPiece(from, &q); return err },
	)
	if !errors.Is(err, mailbox.ErrRefused) {
		t.Errorf("a member that does not own the shard says of a message that it lacks: %v", err)
	}
}

// FuzzRead: whatever comes over the wire is read or refused, in memory that has to do with how much
// it is.
func FuzzRead(f *testing.F) {
	f.Add(appendHead(nil, 3, delivery(1, "content", "a@x", "b@x")))
	f.Add(appendOutcome(nil, []mailbox.Result{{Code: mailbox.Stored, UID: 7, Warn: true}}, nil))
	f.Add(appendOutcome(nil, nil, mailbox.ErrBusy))
	f.Add(AppendRecords(nil, []mailbox.DedupRecord{{ID: mail.ID{1}, Recipient: 300}}))
	f.Add(append(appendMessage([]byte{0}, &mailbox.Message{UID: 1, Size: 5, Date: -1}), 0))
	f.Add(append(appendPieceHead(nil, 3, nil), "abc"...))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := newReader(bytes.NewReader(b))
		if shard, d := r.head(); r.err == nil {
			again := newReader(bytes.NewReader(appendHead(nil, shard, d)))
			if shard2, d2 := again.head(); again.err != nil || shard2 != shard ||
				len(d2.Items) != len(d.Items) ||
				d2.Content.Size != d.Content.Size {
				t.Fatalf("%+v became %+v (%v)", d, d2, again.err)
			}
		}
		newReader(bytes.NewReader(b)).outcome(1)
		if records, err := ReadRecords(bytes.NewReader(b)); err == nil &&
			!bytes.Equal(AppendRecords(nil, records), b) &&
			len(records)*11 > len(b) {
			t.Fatalf("%d records in %d octets", len(records), len(b))
		}
		ReadMessages(bytes.NewReader(b))
		ReadPiece(bytes.NewReader(b), &Request{})
		ReadReply(bytes.NewReader(b))
	})
}
