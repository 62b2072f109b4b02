package node

import (
	"context"
	"errors"
	"fmt"
	netmail "net/mail"
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

// fakeBoxes are four shards in a map.
type fakeBoxes struct {
	mu      sync.Mutex
	shards  int
	there   map[string]mailbox.Settings
	full    map[string]bool
	warn    map[string]bool
	keys    map[mailbox.AppendKey]bool
	got     map[string][]string // prefixes
	appends int
	made    int
	forgot  map[int][]mailbox.DedupRecord
	calls   int // of Forget
	err     error
	makeErr error
}

func newFakeBoxes() *fakeBoxes {
	return &fakeBoxes{shards: 4, there: map[string]mailbox.Settings{}, full: map[string]bool{}, keys: map[mailbox.AppendKey]bool{},
		got: map[string][]string{}, forgot: map[int][]mailbox.DedupRecord{}}
}

func (f *fakeBoxes) Shards() int { return f.shards }

func (f *fakeBoxes) Append(shard int, d *mailbox.Delivery, done func([]mailbox.Result, error)) {
	f.mu.Lock()
	f.appends++
	if f.err != nil {
		f.mu.Unlock()
		done(nil, f.err)
		return
	}
	var results []mailbox.Result
	for i := range d.Items {
		it := &d.Items[i]
		if mailbox.Shard(it.Mailbox, f.shards) != shard {
			panic("an item in the wrong shard: " + it.Mailbox)
		}
		_, there := f.there[it.Mailbox]
		code := mailbox.Stored
		switch {
		case f.keys[it.Key]:
			code = mailbox.Duplicate
		case !there:
			code = mailbox.NoMailbox
		case f.full[it.Mailbox]:
			code = mailbox.Full
		default:
			f.keys[it.Key] = true
			f.got[it.Mailbox] = append(f.got[it.Mailbox], string(it.Prefix)+string(d.Content.Bytes))
		}
		results = append(results, mailbox.Result{Code: code, Warn: code == mailbox.Stored && f.warn[it.Mailbox]})
	}
	f.mu.Unlock()
	done(results, nil)
}

func (f *fakeBoxes) Forget(shard int, records []mailbox.DedupRecord) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	f.forgot[shard] = append(f.forgot[shard], records...)
}

func (f *fakeBoxes) Create(_ context.Context, address string, s mailbox.Settings) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.made++
	if f.makeErr == nil {
		f.there[address] = s
	}
	return f.makeErr
}

// users are those of whom the directory knows.
func users(names ...string) func(string) (mailbox.Settings, bool) {
	return func(address string) (mailbox.Settings, bool) {
		for _, n := range names {
			if n == address {
				return mailbox.Settings{Hard: 1 << 20}, true
			}
		}
		return mailbox.Settings{}, false
	}
}

func localMessage(to ...string) *delivery.LocalMessage {
	m := &delivery.LocalMessage{Message: &queue.Message{ID: mail.ID{1, 2, 3}, Size: 5, Envelope: &mail.Envelope{}}, Content: []byte("hello")}
	for i, a := range to {
		m.Message.Envelope.Recipients = append(m.Message.Envelope.Recipients, mail.Recipient{Address: a})
		m.Recipients = append(m.Recipients, delivery.LocalRecipient{Number: uint32(i), Address: a, Prefix: []byte("for " + a + ": ")})
	}
	return m
}

// immediate is a store that does not linger.
func immediate(boxes localBoxes, settings func(string) (mailbox.Settings, bool)) *localStore {
	s := newLocalStore(boxes, settings)
	s.after = func(_ time.Duration, f func()) { go f() }
	return s
}

// deliver returns the enhanced codes that a message's recipients got; "" is delivered.
func (s *localStore) deliver(m *delivery.LocalMessage) string {
	got := make(chan []*smtp.Failure, 2)
	s.Deliver(m, func(f []*smtp.Failure) { got <- f })
	var codes []string
	for _, f := range <-got {
		if f == nil {
			codes = append(codes, "ok")
		} else {
			codes = append(codes, f.Enhanced)
		}
	}
	if len(got) > 0 {
		codes = append(codes, "and a second answer")
	}
	return strings.Join(codes, " ")
}

func TestLocalStore(t *testing.T) {
	boxes := newFakeBoxes()
	boxes.there["old@h"], boxes.there["full@h"] = mailbox.Settings{}, mailbox.Settings{}
	boxes.full["full@h"] = true
	s := immediate(boxes, users("new@h", "newer@h", "old@h", "full@h", "Postmaster@b"))
	for _, c := range []struct{ to, want string }{
		{"old@h", "ok"},
		{"old@h full@h gone@h new@h newer@h postmaster@h Postmaster@b", "ok 4.2.2 5.1.1 ok ok 4.3.5 ok"},
		{"gone@h", "5.1.1"},
	} {
		m := localMessage(strings.Fields(c.to)...)
		m.Message.ID[9]++
		m.Message.ID[8] = byte(len(c.to))
		if got := s.deliver(m); got != c.want {
			t.Errorf("%s: %s, want %s", c.to, got, c.want)
		}
	}
	for address, want := range map[string]int{"old@h": 2, "new@h": 1, "newer@h": 1, "Postmaster@b": 1, "full@h": 0, "gone@h": 0} {
		got := boxes.got[address]
		if len(got) != want || want > 0 && got[0] != "for "+address+": hello" {
			t.Errorf("%s has %q, want %d", address, got, want)
		}
	}
	if boxes.made != 3 || boxes.there["new@h"].Hard != 1<<20 {
		t.Errorf("%d mailboxes made with %+v, want 3 with the directory's settings", boxes.made, boxes.there["new@h"])
	}
}

// A key that the shard knows is a success, so that a retry after an unknown outcome ends well.
func TestLocalStoreAgain(t *testing.T) {
	boxes := newFakeBoxes()
	boxes.there["a@h"], boxes.there["b@h"] = mailbox.Settings{}, mailbox.Settings{}
	s := immediate(boxes, users("a@h", "b@h"))
	for i := range 3 {
		if got := s.deliver(localMessage("a@h", "b@h")); got != "ok ok" {
			t.Errorf("time %d: %s", i, got)
		}
	}
	if len(boxes.got["a@h"]) != 1 || len(boxes.got["b@h"]) != 1 {
		t.Errorf("mailboxes: %q", boxes.got)
	}
}

func TestLocalStoreTrouble(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{mailbox.ErrRefused, "4.3.2 4.3.2"}, {fmt.Errorf("x: %w", mailbox.ErrUnknown), "4.3.0 4.3.0"}, {mailbox.ErrBusy, "4.3.2 4.3.2"},
		{mailbox.ErrContent, "4.3.0 4.3.0"}, {errors.New("what?"), "4.3.0 4.3.0"},
	} {
		boxes := newFakeBoxes()
		boxes.err = c.err
		if got := immediate(boxes, users("a@h", "b@h")).deliver(localMessage("a@h", "b@h")); got != c.want {
			t.Errorf("%v: %s, want %s", c.err, got, c.want)
		}
	}
	boxes := newFakeBoxes()
	boxes.makeErr = mailbox.ErrRefused
	s := immediate(boxes, users("a@h", "b@h"))
	if got := s.deliver(localMessage("a@h")); got != "4.3.2" {
		t.Errorf("a mailbox that cannot be made: %s", got)
	}
	boxes.shards = 0
	if got := s.deliver(localMessage("a@h", "gone@h", "postmaster@h")); got != "4.3.2 5.1.1 4.3.5" {
		t.Errorf("without shards: %s", got)
	}
	s.Settled(localMessage("a@h").Message, []uint32{0})
	s.current = func() bool { return false }
	if got := s.deliver(localMessage("a@h", "gone@h", "postmaster@h")); got != "4.3.2 4.3.2 4.3.5" {
		t.Errorf("with a directory that may be old: %s", got)
	}
}

// Only so many mailboxes are made at a time; the others wait, and when that takes too long they are
// tried again later.
func TestLocalStoreMakersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boxes := newFakeBoxes()
		s := immediate(boxes, users("a@h"))
		for range makersAtOnce {
			s.making <- struct{}{}
		}
		if got := s.deliver(localMessage("a@h")); got != "4.3.2" {
			t.Errorf("got %s, want 4.3.2", got)
		}
		time.AfterFunc(time.Second, func() { <-s.making })
		if got := s.deliver(localMessage("a@h")); got != "ok" {
			t.Errorf("got %s, want ok", got)
		}
	})
}

// What is settled is forgotten in its shard.
func TestLocalStoreSettled(t *testing.T) {
	boxes := newFakeBoxes()
	s := immediate(boxes, users())
	m := localMessage("a@h", "b@h", "c@h", "d@h", "e@h").Message
	s.Settled(m, []uint32{0, 2, 4})
	n := 0
	for shard, records := range boxes.forgot {
		n += len(records)
		for _, r := range records {
			if mailbox.Shard(m.Envelope.Recipients[r.Recipient].Address, 4) != shard || r.ID != m.ID || r.Recipient%2 != 0 {
				t.Errorf("shard %d was told to forget %v", shard, r)
			}
		}
	}
	if n != 3 {
		t.Errorf("%d records forgotten, want 3", n)
	}
}

// What comes during the linger goes together when it is over.
func TestLocalStoreLingers(t *testing.T) {
	boxes := newFakeBoxes()
	boxes.there["a@h"], boxes.there["b@h"] = mailbox.Settings{}, mailbox.Settings{}
	s := newLocalStore(boxes, users("a@h", "b@h"))
	var end func()
	s.after = func(d time.Duration, f func()) { end = f }
	for round := range 3 {
		answers := 0
		for i := range 5 {
			m := localMessage("a@h")
			m.Message.ID[9], m.Message.ID[8] = byte(i), byte(round)
			s.Deliver(m, func(f []*smtp.Failure) { answers++ })
		}
		if boxes.appends != 5*round {
			t.Fatalf("%d appends before the end of the linger", boxes.appends)
		}
		if end(); answers != 5 {
			t.Errorf("%d answers, want 5", answers)
		}
	}
}

// A shard without an owner holds up one message at a time, and nobody else's; when it answers
// again, all go on.
func TestLocalStoreAilingShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boxes := newFakeBoxes()
		boxes.err = mailbox.ErrRefused
		s := immediate(boxes, users("a@h"))
		deliver := func(want string, appends int) {
			t.Helper()
			if got := s.deliver(localMessage("a@h")); got != want || boxes.appends != appends {
				t.Errorf("%s after %d appends, want %s after %d", got, boxes.appends, want, appends)
			}
		}
		deliver("4.3.2", 1)
		for range 100 {
			deliver("4.3.2", 1)
		}
		time.Sleep(ailingPause)
		deliver("4.3.2", 2) // the probe
		deliver("4.3.2", 2)
		boxes.err = nil
		time.Sleep(ailingPause)
		deliver("ok", 4) // the mailbox is made
		deliver("ok", 5)
		if n := s.ailing.count.Load(); n != 0 {
			t.Errorf("%d shards are still taken for ailing", n)
		}
	})
}

// The user whose mailbox came over its soft quota is told, and nobody else.
func TestLocalStoreWarns(t *testing.T) {
	boxes := newFakeBoxes()
	boxes.there["a@h"], boxes.there["b@h"] = mailbox.Settings{}, mailbox.Settings{}
	boxes.warn = map[string]bool{"b@h": true}
	s := immediate(boxes, users("a@h", "b@h"))
	var told []string
	s.warn = func(address string) { told = append(told, address) }
	for range 2 {
		if got := s.deliver(localMessage("a@h", "b@h")); got != "ok ok" {
			t.Error(got)
		}
	}
	if len(told) != 1 || told[0] != "b@h" {
		t.Errorf("told %q, want b@h once", told)
	}
	text := string(quotaWarning("b@h.example", "mx.example", mailbox.Settings{Soft: 5 << 20, Hard: 6 << 20}, time.Unix(1_700_000_000, 0).UTC()))
	m, err := netmail.ReadMessage(strings.NewReader(text))
	if err != nil || m.Header.Get("To") != "<b@h.example>" || m.Header.Get("Auto-Submitted") != "auto-generated" || !strings.Contains(text, "holds more than 5MiB. At 6MiB no") {
		t.Errorf("%v: %s", err, text)
	}
	if _, err := m.Header.Date(); err != nil {
		t.Error(err)
	}
}
