package queue

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue/machine"
)

// benchStore is the cheapest thing that keeps rows: what the benchmarks measure is the queue. Keys
// are short enough for an array.
type benchStore struct {
	mu    sync.Mutex
	rows  map[benchKey]benchValue
	index uint64
	apply func(w machine.Writer, index, term uint64, data []byte, parts [][]byte) any
	done  func()
	buf   []byte
	void  bool // keep nothing
}

type (
	benchKey   [48]byte
	benchValue struct {
		n int
		b [240]byte
	}
)

func (s *benchStore) key(k []byte) (a benchKey) { a[47] = byte(copy(a[:47], k)); return a }

func (s *benchStore) Set(key, value []byte) {
	if s.void {
		return
	}
	var v benchValue
	if v.n = copy(v.b[:], value); v.n < len(value) {
		panic("row too long for the benchmark")
	}
	s.rows[s.key(key)] = v
}
func (s *benchStore) Delete(key []byte)           { delete(s.rows, s.key(key)) }
func (s *benchStore) DeleteRange(from, to []byte) {}
func (s *benchStore) KeepPart(uint64, int)        {}
func (s *benchStore) DropPart(uint64, int)        {}
func (s *benchStore) Get(key []byte) ([]byte, bool) {
	v, ok := s.rows[s.key(key)]
	s.buf = append(s.buf[:0], v.b[:v.n]...)
	return s.buf, ok
}

func (s *benchStore) Propose(_ context.Context, data []byte, parts [][]byte) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index++
	result := s.apply(s, s.index, 1, data, parts)
	s.done()
	return result, nil
}

// benchGroup adds the reads, which the benchmarks do not use.
type benchGroup struct {
	Proposer
	Reader
}

func (benchGroup) Get([]byte) ([]byte, bool, error) { return nil, false, nil }

type dropItems struct{}

func (dropItems) Accepted(items []Item) {
	for i := range items {
		if items[i].Release != nil {
			items[i].Release()
		}
	}
}
func (dropItems) Changed([]mail.ID, []string) {}
func (dropItems) Gone([]mail.ID)              {}
func (dropItems) Suspended(Suspensions)       {}

func benchQueue(b *testing.B) (*Queue, *benchStore) {
	q := New(Options{Budget: mail.NewBudget(64 << 20)})
	s := &benchStore{rows: make(map[benchKey]benchValue, 1<<16), apply: q.Apply, done: q.Committed}
	if err := q.Start(context.Background(), benchGroup{Proposer: s}, dropItems{}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { q.Stop(context.Background()) })
	return q, s
}

// benchAccept accepts n messages of 4 KiB, 64 of them waiting at any time.
func benchAccept(b *testing.B, q *Queue, n int, keep []mail.ID) []mail.ID {
	env := envelope("sender@example.net", "recipient@example.com")
	env.Origin.User, env.Origin.Listener = "user@example.net", "127.0.0.1:2525"
	body := make([]byte, 4096)
	free := make(chan struct{}, 64)
	var mu sync.Mutex
	done := func(id mail.ID, f *smtp.Failure) {
		if f != nil {
			b.Error(f)
		}
		if keep != nil {
			mu.Lock()
			keep = append(keep, id)
			mu.Unlock()
		}
		<-free
	}
	contents := make([]mail.Content, n)
	chunks := [][]byte{body}
	b.ResetTimer()
	for i := range n {
		free <- struct{}{}
		contents[i] = mail.Content{Chunks: chunks, Size: int64(len(body))}
		q.Submit(env, &contents[i], done)
	}
	for range cap(free) {
		free <- struct{}{}
	}
	return keep
}

// BenchmarkAccept is the front and the state machine for one message: no log, no store.
func BenchmarkAccept(b *testing.B) {
	q, s := benchQueue(b)
	s.void = true
	b.ReportAllocs()
	benchAccept(b, q, b.N, nil)
	b.StopTimer()
	b.ReportMetric(float64(b.N)/float64(s.index), "msgs/command")
}

// BenchmarkSettle is the outcome of a message's only recipient.
func BenchmarkSettle(b *testing.B) {
	q, _ := benchQueue(b)
	ids := benchAccept(b, q, b.N, make([]mail.ID, 0, b.N))
	at := time.Now()
	var done sync.WaitGroup
	one := make([]Outcome, 1)
	b.ReportAllocs()
	b.ResetTimer()
	for _, id := range ids {
		done.Add(1)
		one[0] = Outcome{ID: id, State: Relayed, Attempt: mail.Attempt{
			At: at, Code: 250, Enhanced: "2.0.0", Text: "Ok: queued as 0123456789abcdef",
			Remote: "mx.example.com", TLS: "TLSv1.3 TLS_AES_128_GCM_SHA256",
		}}
		if !q.Settle(one, func(error) { done.Done() }) {
			q.SettleRoom(context.Background())
		}
	}
	done.Wait()
	b.StopTimer()
	if s := q.Stats(); s.Messages != 0 {
		b.Fatalf("%d messages are left", s.Messages)
	}
}

// BenchmarkApply is the state machine alone, for the commands of a front that accepts: what each
// member does with each message, leader or not.
func BenchmarkApply(b *testing.B) {
	type command struct {
		data  []byte
		parts [][]byte
	}
	var commands []command
	q, s := benchQueue(b)
	apply := s.apply
	s.void = true
	s.apply = func(w machine.Writer, index, term uint64, data []byte, parts [][]byte) any {
		commands = append(
			commands,
			command{slices.Clone(data), slices.Clone(parts)},
		) // the parts' octets are all the same
		return apply(w, index, term, data, parts)
	}
	benchAccept(b, q, b.N, nil)
	member := New(Options{Budget: mail.NewBudget(64 << 20)})
	rows := &benchStore{void: true}
	b.ReportAllocs()
	b.ResetTimer()
	for i, c := range commands {
		member.Apply(rows, uint64(i+1), 1, c.data, c.parts)
	}
}
