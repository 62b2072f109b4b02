package logstore

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

const testSegment = 64 << 10

func open(t testing.TB, fs vfs.FS) *Store {
	t.Helper()
	s, err := Open(Options{FS: fs, Dir: "log", SegmentSize: testSegment, RingSize: 16 << 10})
	if err != nil {
		t.Fatal(err)
	}
	s.Loaded()
	return s
}

func closeStore(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// entry is a log entry whose content follows from its index and term.
func entry(index, term uint64) *raft.Log {
	var parts [][]byte
	for i := range index % 4 {
		parts = append(parts, bytes.Repeat([]byte{byte(index), byte(term), byte(i)}, int(300*i)))
	}
	return &raft.Log{
		Index: index, Term: term, Data: []byte(fmt.Sprintf("command %d of term %d", index, term)),
		Extensions: JoinParts(parts), AppendedAt: time.Unix(int64(index), 0),
	}
}

func entries(from, to, term uint64) (logs []*raft.Log) {
	for i := from; i <= to; i++ {
		logs = append(logs, entry(i, term))
	}
	return logs
}

func store(t testing.TB, g *Group, from, to, term uint64) {
	t.Helper()
	if err := g.StoreLogs(entries(from, to, term)); err != nil {
		t.Fatal(err)
	}
}

// expect checks that the group has exactly the entries from..to, the term of each given by term.
func expect(t testing.TB, g *Group, from, to uint64, term func(uint64) uint64) {
	t.Helper()
	first, _ := g.FirstIndex()
	last, _ := g.LastIndex()
	if first != from || last != to {
		t.Fatalf("log is [%d, %d], want [%d, %d]", first, last, from, to)
	}
	for i := from; i <= to && i > 0; i++ {
		var l raft.Log
		if err := g.GetLog(i, &l); err != nil {
			t.Fatal(err)
		}
		if want := entry(i, term(i)); !sameLog(&l, want) {
			t.Fatalf("entry %d of term %d: got %q of term %d with %d octets of parts", i, want.Term,
				l.Data, l.Term, len(l.Extensions))
		}
	}
	var l raft.Log
	if err := g.GetLog(to+1, &l); !errors.Is(err, raft.ErrLogNotFound) {
		t.Fatalf("entry %d: %v", to+1, err)
	}
}

func sameLog(a, b *raft.Log) bool {
	return a.Index == b.Index && a.Term == b.Term && a.Type == b.Type &&
		bytes.Equal(a.Data, b.Data) &&
		bytes.Equal(a.Extensions, b.Extensions) && a.AppendedAt.Equal(b.AppendedAt)
}

func always(term uint64) func(uint64) uint64 { return func(uint64) uint64 { return term } }

func TestStoreAndRecover(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	a, b := s.Group(1), s.Group(2)
	for i := uint64(1); i < 200; i += 5 {
		store(t, a, i, i+4, 3)
		store(t, b, i, i+4, 4)
	}
	if err := errors.Join(a.SetUint64([]byte("CurrentTerm"), 3),
		b.Set([]byte("LastVoteCand"), []byte("me"))); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		expect(t, a, 1, 200, always(3))
		expect(t, b, 1, 200, always(4))
		closeStore(t, s)
		s = open(t, fs)
		a, b = s.Group(1), s.Group(2)
	}
	if term, err := a.GetUint64([]byte("CurrentTerm")); term != 3 || err != nil {
		t.Errorf("term %d, %v", term, err)
	}
	if v, err := b.Get([]byte("LastVoteCand")); string(v) != "me" || err != nil {
		t.Errorf("vote %q, %v", v, err)
	}
	if v, err := b.Get([]byte("LastVoteTerm")); v != nil || err != nil {
		t.Errorf("missing value: %q, %v", v, err)
	}
	closeStore(t, s)
	if err := a.StoreLogs(entries(201, 201, 3)); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestLentPartsAreStored(t *testing.T) {
	s := open(t, vfs.NewMem())
	defer closeStore(t, s)
	g := s.Group(1)
	parts := [][]byte{[]byte("one"), nil, []byte("three")}
	l := raft.Log{Index: 1, Term: 1, Data: []byte("d"), Extensions: g.Lend(parts)}
	if err := g.StoreLog(&l); err != nil {
		t.Fatal(err)
	}
	var got raft.Log
	if err := g.GetLog(1, &got); err != nil || !bytes.Equal(got.Extensions, JoinParts(parts)) {
		t.Errorf("got %q, %v", got.Extensions, err)
	}
	g.Return(l.Extensions)
	l.Index = 2
	if err := g.StoreLog(&l); !errors.Is(err, errBadExtensions) {
		t.Errorf("after Return: %v", err)
	}
}

func TestGapsAreRefused(t *testing.T) {
	s := open(t, vfs.NewMem())
	defer closeStore(t, s)
	g := s.Group(1)
	store(t, g, 5, 6, 1) // an empty log begins anywhere
	if g.StoreLogs(entries(8, 9, 1)) == nil || g.StoreLogs(entries(6, 7, 1)) == nil {
		t.Error("gap or overlap accepted")
	}
	if !g.IsMonotonic() {
		t.Error("raft relies on gaps")
	}
}

func TestCompactionAndConflict(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	g := s.Group(1)
	store(t, g, 1, 100, 1)
	check := func(from, to uint64, term func(uint64) uint64) {
		t.Helper()
		expect(t, g, from, to, term)
		closeStore(t, s)
		s = open(t, fs)
		g = s.Group(1)
		expect(t, g, from, to, term)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(g.DeleteRange(1, 40)) // compaction
	check(41, 100, always(1))
	must(g.DeleteRange(81, 100)) // conflict: the indexes are used again
	check(41, 80, always(1))
	store(t, g, 81, 90, 2)
	check(41, 90, func(i uint64) uint64 { return 1 + (i-1)/80 })
	if err := g.DeleteRange(50, 60); !errors.Is(err, errMiddle) {
		t.Errorf("deleting from the middle: %v", err)
	}
	g.Compactable(90)
	must(g.DeleteRange(41, 90)) // all of it, by compaction: the log goes on at 91
	check(0, 0, nil)
	if last, term := g.Last(); last != 90 || term != 2 {
		t.Errorf("last %d of term %d", last, term)
	}
	store(t, g, 91, 95, 2)
	must(g.DeleteRange(91, 95)) // all of it, by conflict: 91 comes again
	if last, _ := g.Last(); last != 90 {
		t.Errorf("last %d", last)
	}
	store(t, g, 91, 92, 3)
	check(91, 92, always(3))
	closeStore(t, s)
}

// Raft compacts on another goroutine than it appends.
func TestCompactionBesideAppending(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	g := s.Group(1)
	const last = 2000
	var compaction sync.WaitGroup
	compaction.Go(func() {
		for first := uint64(0); first < last; {
			if to, _ := g.LastIndex(); to > 0 {
				g.Compactable(to)
				if err := g.DeleteRange(1, to); err != nil {
					t.Error(err)
				}
				first = to
			}
		}
	})
	for i := uint64(1); i <= last; i++ {
		store(t, g, i, i, 1)
		if at, _ := g.Last(); at != i {
			t.Fatalf("log ends at %d after entry %d", at, i)
		}
	}
	compaction.Wait()
	closeStore(t, s)
	s = open(t, fs)
	defer closeStore(t, s)
	if at, _ := s.Group(1).Last(); at != last {
		t.Errorf("log ends at %d", at)
	}
}

func TestLargeBatchTakesSeveralRounds(t *testing.T) {
	s := open(t, vfs.NewMem())
	defer closeStore(t, s)
	g := s.Group(1)
	store(t, g, 1, 400, 1) // several times a segment
	expect(t, g, 1, 400, always(1))
	if st := s.Stats(); st.Syncs < 8 || st.Created < 3 {
		t.Errorf("%+v", st)
	}
	big := raft.Log{Index: 401, Term: 1, Data: make([]byte, testSegment/4)}
	if err := g.StoreLog(&big); err == nil {
		t.Error("an entry larger than a quarter of a segment was accepted")
	}
	store(t, g, 401, 402, 1)
}

// gate is a file system whose syncs wait.
type gate struct {
	vfs.FS
	enter, leave chan struct{}
}

type gateFile struct {
	vfs.File
	g *gate
}

func (g *gate) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := g.FS.Create(name, c)
	return gateFile{f, g}, err
}

func (f gateFile) SyncData() error {
	f.g.enter <- struct{}{}
	<-f.g.leave
	return f.File.SyncData()
}

// While one round syncs all who come wait, and share the next sync.
func TestGroupCommit(t *testing.T) {
	fs := &gate{FS: vfs.NewMem(), enter: make(chan struct{}), leave: make(chan struct{})}
	s := open(t, fs)
	const groups = 20
	var writers sync.WaitGroup
	write := func(id uint64) { writers.Go(func() { store(t, s.Group(id), 1, 1, 1) }) }
	write(1)
	<-fs.enter
	for id := uint64(2); id <= groups; id++ {
		write(id)
	}
	for queued := 0; queued < groups-1; runtime.Gosched() {
		s.mu.Lock()
		queued = len(s.mu.queue)
		s.mu.Unlock()
	}
	fs.leave <- struct{}{}
	<-fs.enter
	fs.leave <- struct{}{}
	writers.Wait()
	if st := s.Stats(); st.Syncs != 2 {
		t.Errorf("%d syncs for %d writers, want 2", st.Syncs, groups)
	}
}
