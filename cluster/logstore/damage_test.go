package logstore

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hashicorp/raft"
)

// copyFS copies the store's files.
func copyFS(t testing.TB, from vfs.FS) *vfs.MemFS {
	t.Helper()
	to := vfs.NewMem()
	if _, err := vfs.Clone(from, to, "log", "log"); err != nil {
		t.Fatal(err)
	}
	return to
}

func segments(t testing.TB, fs vfs.FS) []string {
	t.Helper()
	names, err := fs.List("log")
	if err != nil {
		t.Fatal(err)
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasSuffix(n, ".seg") })
	slices.Sort(names)
	return names
}

func alter(t testing.TB, fs vfs.FS, name string, off int64, with func(p []byte)) {
	t.Helper()
	f, err := fs.OpenReadWrite("log/"+name, writeCategory)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := make([]byte, pageSize)
	n, err := f.ReadAt(p, off)
	if err != nil && err != io.EOF {
		t.Fatal(err)
	}
	with(p[:n])
	if _, err := f.WriteAt(p[:n], off); err != nil {
		t.Fatal(err)
	}
}

// Wherever a bit flips in a store that was closed, either it does not open, or what it gives out is
// right or an error.
func TestBitFlips(t *testing.T) {
	base := vfs.NewMem()
	s := open(t, base)
	g := s.Group(1)
	for i := uint64(1); i <= 120; i += 3 {
		store(t, g, i, i+2, 1)
	}
	// the first segments are not read by recovery any more
	if err := g.DeleteRange(1, 100); err != nil {
		t.Fatal(err)
	}
	if err := g.SetUint64([]byte("CurrentTerm"), 1); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	rng := rand.New(rand.NewPCG(1, 2))
	refused, harmless := 0, 0
	names := segments(t, base)
	for range 600 {
		fs := copyFS(t, base)
		name := names[rng.IntN(len(names))]
		off, bit := rng.Int64N(testSegment), rng.IntN(8)
		alter(t, fs, name, off, func(p []byte) { p[0] ^= 1 << bit })
		s, err := Open(Options{FS: fs, Dir: "log", SegmentSize: testSegment})
		if err != nil {
			if !errors.Is(err, ErrLost) {
				t.Fatalf("%s at %d: %v", name, off, err)
			}
			refused++
			continue
		}
		harmless++
		expect(t, s.Group(1), 101, 120, always(1))
		if term, _ := s.Group(1).GetUint64([]byte("CurrentTerm")); term != 1 {
			t.Fatalf("%s at %d: term %d", name, off, term)
		}
		closeStore(t, s)
	}
	if refused < 10 || harmless < 10 {
		t.Errorf("%d refused, %d harmless", refused, harmless)
	}
}

// Parts outside the window are verified when they are read.
func TestBitFlipInKeptPart(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	defer closeStore(t, s)
	g := s.Group(1)
	store(t, g, 1, 60, 1)
	p, _ := g.Locate(3)
	read := func(part int) error {
		table, err := g.ReadTable(3, p)
		if err == nil {
			_, err = g.ReadPart(nil, table, p, part)
		}
		return err
	}
	if err := read(2); err != nil {
		t.Fatal(err)
	}
	// in part 2
	alter(t, fs, segmentName(p.Segment), int64(p.Payload)+1000, func(b []byte) { b[0] ^= 4 })
	if err := errors.Join(read(0), read(1)); err != nil {
		t.Error(err)
	}
	if err := read(2); !errors.Is(err, ErrCorrupt) {
		t.Errorf("part 2: %v", err)
	}
	alter(t, fs, segmentName(p.Segment), int64(p.Pos)+entryHead, func(b []byte) { b[0] ^= 4 })
	if err := read(0); !errors.Is(err, ErrCorrupt) {
		t.Errorf("after damage to the table: %v", err)
	}
}

// TestTornTail: the block written last and not synced may be torn; those before it may not.
func TestTornTail(t *testing.T) {
	base := vfs.NewCrashableMem()
	s := open(t, base)
	g := s.Group(1)
	store(t, g, 1, 3, 1)
	if err := s.Mark(); err != nil {
		t.Fatal(err)
	}
	store(t, g, 4, 6, 1)
	end := s.w.off
	unmarked := base.CrashClone(vfs.CrashCloneCfg{})
	closeStore(t, s)

	zero := func(p []byte) { clear(p) }
	name := segments(t, base)[0]
	for what, c := range map[string]struct {
		fs   vfs.FS
		off  int64
		last uint64 // 0: refused
	}{
		"last block torn, mark older":           {unmarked, end - pageSize, 3},
		"first block damaged, second proves it": {unmarked, 0, 0},
		"last block damaged, mark newer":        {base, end - pageSize, 0},
	} {
		fs := copyFS(t, c.fs)
		alter(t, fs, name, c.off, zero)
		s, err := Open(Options{FS: fs, Dir: "log", SegmentSize: testSegment})
		if c.last == 0 {
			if !errors.Is(err, ErrLost) {
				t.Errorf("%s: %v", what, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		s.Loaded()
		expect(t, s.Group(1), 1, c.last, always(1))
		store(t, s.Group(1), c.last+1, c.last+5, 2)
		closeStore(t, s)
		s = open(t, fs)
		expect(t, s.Group(1), 1, c.last+5, func(i uint64) uint64 {
			return 1 + min(1, (i-1)/c.last)
		})
		closeStore(t, s)
	}
}

func TestMissingSegmentIsRefused(t *testing.T) {
	base := vfs.NewMem()
	s := open(t, base)
	g := s.Group(1)
	store(t, g, 1, 300, 1)
	closeStore(t, s)
	names := segments(t, base)
	if len(names) < 3 {
		t.Fatalf("%d segments", len(names))
	}
	for _, name := range names {
		fs := copyFS(t, base)
		if err := fs.Remove("log/" + name); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Options{FS: fs, Dir: "log", SegmentSize: testSegment}); !errors.Is(err,
			ErrLost) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

// After the first failed write or sync nothing is acknowledged any more, though the disk would do
// again.
func TestFailureLatches(t *testing.T) {
	for _, kind := range []errorfs.OpKind{errorfs.OpFileWriteAt, errorfs.OpFileSyncData} {
		for nth := range int32(4) {
			var armed atomic.Bool
			count := int32(0)
			inj := errorfs.InjectorFunc(func(op errorfs.Op) error {
				if !armed.Load() || op.Kind != kind || !strings.HasSuffix(op.Path, ".seg") {
					return nil
				}
				if count++; count-1 == nth {
					return errorfs.ErrInjected
				}
				return nil
			})
			base := vfs.NewCrashableMem()
			failures := 0
			s, err := Open(Options{
				FS: errorfs.Wrap(base, inj), Dir: "log", SegmentSize: testSegment,
				OnFailure: func(error) { failures++ },
			})
			if err != nil {
				t.Fatal(err)
			}
			armed.Store(true)
			var acked uint64
			var after []string
			failed := false
			for i := uint64(1); i <= 12; i++ {
				err := s.Group(1).StoreLog(entry(i, 1))
				failed = failed || err != nil
				if err == nil && !failed {
					acked = i
				} else if err == nil {
					after = append(after, fmt.Sprint(i))
				}
			}
			if !failed || len(after) > 0 || failures != 1 || s.Err() == nil {
				t.Errorf("%v %d: failed %v, acknowledged afterwards %v, %d reports", kind, nth,
					failed, after, failures)
			}
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
			s = open(t, base.CrashClone(vfs.CrashCloneCfg{}))
			var l raft.Log
			if err := s.Group(1).GetLog(acked, &l); acked > 0 && err != nil {
				t.Errorf("%v %d: entry %d: %v", kind, nth, acked, err)
			}
			closeStore(t, s)
		}
	}
}
