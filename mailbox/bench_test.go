package mailbox

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/postroad/postroad/internal/codec"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue/queuetest"
)

// benchStore is the cheapest thing that keeps rows: what the benchmarks measure is the machine.
type benchStore struct {
	rows  map[string][]byte
	store *Store
	index uint64
	sets  int
	gets  int
}

func (s *benchStore) Set(key, value []byte) {
	s.sets++
	if v, ok := s.rows[string(key)]; ok && cap(v) >= len(value) {
		s.rows[string(key)] = append(v[:0], value...)
		return
	}
	if key[0] != keyMessage && key[0] != keyContent &&
		key[0] != keyRecord { // these are not read again
		s.rows[string(key)] = bytes.Clone(value)
	}
}
func (s *benchStore) Delete(key []byte)           { delete(s.rows, string(key)) }
func (s *benchStore) DeleteRange(from, to []byte) {}
func (s *benchStore) KeepPart(uint64, int)        {}
func (s *benchStore) DropPart(uint64, int)        {}
func (s *benchStore) Get(key []byte) ([]byte, bool) {
	s.gets++
	v, ok := s.rows[string(key)]
	return v, ok
}

func (s *benchStore) Propose(_ context.Context, data []byte, parts [][]byte) (any, error) {
	s.index++
	result := s.store.Apply(s, s.index, 1, data, parts)
	s.store.Committed()
	return result, nil
}

// newBenchStore has 10,000 mailboxes.
func newBenchStore(b testing.TB) (*benchStore, []string) {
	s := &benchStore{rows: map[string][]byte{}, store: New(Options{})}
	s.Propose(nil, appendCommand(nil, cmdEpoch, 1, sender{}), nil)
	names := make([]string, 10_000)
	for n := range names {
		names[n] = fmt.Sprintf("user%d@example.net", n)
		data := appendSettings(
			codec.AppendBytes(
				appendCommand(nil, cmdCreateMailbox, 1, sender{1, 0, uint64(n + 1)}),
				names[n],
			),
			Settings{Hard: 1 << 40},
		)
		if r, _ := s.Propose(nil, data, nil); r.(verbResult).status != statusOK {
			b.Fatal(r)
		}
	}
	return s, names
}

// BenchmarkAppendApply is Apply of messages of 4 KiB to one recipient each, 64 in a command,
// without the store's own work.
func BenchmarkAppendApply(b *testing.B) {
	s, names := newBenchStore(b)
	const batch = 64
	content := make([]byte, 4096)
	parts := make([][]byte, batch)
	prefix := []byte("Return-Path: <sender@example.org>\r\nDelivered-To: somebody@example.net\r\n")
	s.sets, s.gets = 0, 0
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += batch {
		b.StopTimer()
		data := appendCount(
			appendDrops(appendCommand(nil, cmdAppend, 2, sender{1, 1, uint64(n + 1)}), nil),
			batch,
		)
		for i := range parts {
			parts[i] = content
			key := AppendKey{
				ID: mail.ID{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n), byte(i)},
			}
			it := Item{Key: key, Mailbox: names[(n+i)*7919%len(names)], Prefix: prefix}
			data = appendItems(appendDelivery(data, 4096, 0, 0, 1), []Item{it})
		}
		b.StartTimer()
		s.Propose(nil, data, parts)
	}
	b.ReportMetric(float64(s.sets)/float64(b.N), "sets/op")
	b.ReportMetric(float64(s.gets)/float64(b.N), "gets/op")
}

// benchFolder is a folder of n messages on a group in memory.
func benchFolder(b *testing.B, n int) (*Store, Ref) {
	s := New(Options{})
	g := queuetest.New(machineOf(s))
	if err := s.Start(b.Context(), g, &heard{}); err != nil {
		b.Fatal(err)
	}
	box, err := s.CreateMailbox(b.Context(), "a@example.net", Settings{})
	if err != nil {
		b.Fatal(err)
	}
	items := make([]Item, MaxItems)
	for i := range items {
		items[i] = Item{Mailbox: box.Address, Prefix: bytes.Repeat([]byte("x"), 80)}
	}
	for range n / MaxItems {
		done := make(chan error, 1)
		s.Append(
			&Delivery{contentOf("content"), items},
			func(_ []Result, err error) { done <- err },
		)
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	b.Cleanup(func() { s.Stop(context.Background()) })
	return s, box
}

// BenchmarkList lists 100,000 messages, as POP3's LIST and UIDL do.
func BenchmarkList(b *testing.B) {
	s, box := benchFolder(b, 100_000)
	b.ReportAllocs()
	for b.Loop() {
		n, size := 0, int64(0)
		err := s.Messages(box, Inbox, Range{}, func(m *Message) bool {
			n, size = n+1, size+m.Size
			return true
		})
		if err != nil || n != 100_000 {
			b.Fatal(n, err)
		}
	}
}

// BenchmarkAppend is front and machine for one message of 4 KiB, 256 of them waiting at any time.
func BenchmarkAppend(b *testing.B) {
	s, names := newBenchStore(b)
	group := struct {
		Reader
		Proposer
	}{queuetest.New(queuetest.Machine{}), &lockedProposer{p: s}} // nobody reads
	// The mailboxes are of session 1: the epoch that follows it is this run's.
	if err := s.store.Start(b.Context(), group, &heard{}); err != nil {
		b.Fatal(err)
	}
	defer s.store.Stop(context.Background())
	content := Content{Size: 4096, Bytes: make([]byte, 4096)}
	free := make(chan struct{}, 256)
	done := func(r []Result, err error) {
		if err != nil || r[0].Code != Stored {
			b.Error(r, err)
		}
		<-free
	}
	before := s.index
	b.ReportAllocs()
	b.ResetTimer()
	for n := range b.N {
		free <- struct{}{}
		key := AppendKey{ID: mail.ID{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n), 1}}
		s.store.Append(
			&Delivery{content, []Item{{Key: key, Mailbox: names[n*7919%len(names)]}}},
			done,
		)
	}
	for range cap(free) {
		free <- struct{}{}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/float64(s.index-before), "msgs/command")
}

type lockedProposer struct {
	mu sync.Mutex
	p  Proposer
}

func (l *lockedProposer) Propose(ctx context.Context, data []byte, parts [][]byte) (any, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.p.Propose(ctx, data, parts)
}

// TestMemory: the machine's memory does not grow with messages or mailboxes.
func TestMemory(t *testing.T) {
	s, names := newBenchStore(t)
	content := make([]byte, 100)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var before uint64
	for n := range 300 {
		data := appendCount(
			appendDrops(appendCommand(nil, cmdAppend, 2, sender{1, 1, uint64(n + 1)}), nil),
			1,
		)
		items := make([]Item, MaxItems)
		for i := range items {
			items[i] = Item{
				Key:     AppendKey{ID: mail.ID{byte(n >> 8), byte(n), 1}, Recipient: uint32(i)},
				Mailbox: names[(n*MaxItems+i)%len(names)],
			}
		}
		s.Propose(
			nil,
			appendItems(appendDelivery(data, 100, 0, 0, len(items)), items),
			[][]byte{content},
		)
		// the scratch space has grown to what a command of this size takes, and the store's rows
		// are all there
		if n == 20 {
			before = heap()
		}
	}
	if grown := int64(heap() - before); grown > 1<<20 {
		t.Errorf("279,000 messages take %d octets of memory", grown)
	}
	runtime.KeepAlive(s)
}
