package logstore

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// calm is longer than any test: the mark follows when the test says so.
const calm = time.Hour

func openIn(fs vfs.FS, boot string) (*Store, error) {
	return Open(Options{FS: fs, Dir: "log", SegmentSize: testSegment, Settle: calm, Boot: boot})
}

func mustOpenIn(t testing.TB, fs vfs.FS, boot string) *Store {
	t.Helper()
	s, err := openIn(fs, boot)
	if err != nil {
		t.Fatal(err)
	}
	s.Loaded()
	return s
}

// killed returns the files of a store as a kill leaves them after n entries of group 1, and where
// the last block lies. With marked, the mark has followed it.
func killed(t testing.TB, n uint64, boot string, marked bool) (fs *vfs.MemFS, at int64) {
	t.Helper()
	base := vfs.NewMem()
	s := mustOpenIn(t, base, boot)
	for i := uint64(1); i <= n; i++ {
		at = s.w.off
		store(t, s.Group(1), i, i, 1)
	}
	if marked {
		if err := s.Mark(); err != nil {
			t.Fatal(err)
		}
	}
	fs = copyFS(t, base)
	closeStore(t, s)
	return fs, at
}

// TestTailAfterAKill: in the boot in which it was written a bad last block is told of, also by the
// next Open and the one after, until something is written; after another boot it was torn.
func TestTailAfterAKill(t *testing.T) {
	flip := func(off int64) func(p []byte) { return func(p []byte) { p[off] ^= 16 } }
	for what, c := range map[string]struct {
		damage func([]byte)
		boot   string // of the start
		tail   bool
		groups []uint64
	}{
		"a bit of the data": {flip(headerSize + entryHead + 8*3 + 6), "one", true,
			nil},
		"a bit of a part":                    {flip(1100), "one", true, []uint64{1}},
		"a bit of the header":                {flip(17), "one", true, nil},
		"a bit of the header's checksum":     {flip(61), "one", true, nil},
		"a bit of the magic":                 {flip(0), "one", true, nil},
		"a bit of a part, after a power cut": {flip(1100), "two", false, nil},
		"a bit of a part, boot not known":    {flip(1100), "", false, nil},
		"a bit behind the block's content":   {flip(4095), "one", false, nil},
	} {
		fs, at := killed(t, 7, "one", false) // entry 7 has parts of 0, 300 and 600 octets
		alter(t, fs, segmentName(1), at, c.damage)
		for range 2 {
			s, err := openIn(fs, c.boot)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			last, _ := s.Group(1).Last()
			tail := s.Tail()
			if (tail != nil) != c.tail {
				t.Fatalf("%s: the tail is %v, the log ends at %d", what, tail, last)
			}
			if tail != nil && (last != 6 || tail.Proven || !slices.Equal(tail.Groups, c.groups)) {
				t.Fatalf("%s: %+v, the log ends at %d", what, tail, last)
			}
			fs = copyFS(t, fs) // killed again, before anything was written
			closeStore(t, s)
		}
		s := mustOpenIn(t, fs, c.boot)
		last, _ := s.Group(1).Last()
		store(t, s.Group(1), last+1, last+1, 1)
		fs = copyFS(t, fs)
		closeStore(t, s)
		s = mustOpenIn(t, fs, c.boot)
		if s.Tail() != nil {
			t.Errorf("%s: still %v", what, s.Tail())
		}
		expect(t, s.Group(1), 1, last+1, always(1))
		closeStore(t, s)
	}
}

// TestTailProven: the mark knows of the last block, so that no power cut explains it.
func TestTailProven(t *testing.T) {
	for _, boot := range []string{"one", "two", ""} {
		fs, at := killed(t, 7, "one", true)
		alter(t, fs, segmentName(1), at, func(p []byte) { p[1100] ^= 1 })
		s := mustOpenIn(t, fs, boot)
		if tail := s.Tail(); tail == nil || !tail.Proven || tail.Block != 7 {
			t.Errorf("boot %q: %v", boot, tail)
		}
		closeStore(t, s)
	}
	fs, at := killed(t, 7, "one", true)
	alter(t, fs, segmentName(1), at, func(p []byte) { clear(p) })
	if _, err := openIn(fs, "two"); !errors.Is(err, ErrLost) {
		t.Errorf("the block is gone, and the mark knows of it: %v", err)
	}
}

// TestTailInFirstBlock: the newest segment has one block, and that is bad.
func TestTailInFirstBlock(t *testing.T) {
	base := vfs.NewMem()
	s := mustOpenIn(t, base, "one")
	last := uint64(0)
	for s.Newest() < 2 {
		last++
		store(t, s.Group(1), last, last, 1)
	}
	fs := copyFS(t, base)
	closeStore(t, s)
	whole := copyFS(t, fs)
	alter(t, fs, segmentName(2), 0, func(p []byte) { p[headerSize+3] ^= 1 })
	for range 2 {
		s, err := openIn(fs, "one")
		if err != nil {
			t.Fatal(err)
		}
		if tail := s.Tail(); tail == nil || tail.Proven {
			t.Errorf("the tail is %v", tail)
		}
		fs = copyFS(t, fs)
		closeStore(t, s)
	}
	s = mustOpenIn(t, fs, "one")
	expect(t, s.Group(1), 1, last-1, always(1))
	store(t, s.Group(1), last, last+1, 2)
	closeStore(t, s)
	s = mustOpenIn(t, whole, "one")
	expect(t, s.Group(1), 1, last, always(1))
	closeStore(t, s)
}

// TestPartlyWritten: a block of which only the first pages are there, and nothing after them, was
// never acknowledged.
func TestPartlyWritten(t *testing.T) {
	base := vfs.NewMem()
	s := mustOpenIn(t, base, "one")
	store(t, s.Group(1), 1, 3, 1)
	at := s.w.off
	store(t, s.Group(1), 4, 14, 1)
	pages := (s.w.off - at) / pageSize
	whole := copyFS(t, base)
	closeStore(t, s)
	if pages < 3 {
		t.Fatalf("%d pages", pages)
	}
	for cut := int64(1); cut < pages; cut++ {
		for _, flip := range []bool{false, true} {
			fs := copyFS(t, whole)
			for page := cut; page < pages; page++ {
				alter(t, fs, segmentName(1), at+page*pageSize, func(p []byte) { clear(p) })
			}
			if flip && cut > 1 {
				alter(t, fs, segmentName(1), at, func(p []byte) { p[20] ^= 1 }) // its number
			}
			s := mustOpenIn(t, fs, "one")
			if s.Tail() != nil && !flip {
				t.Errorf("%d of %d pages: %v", cut, pages, s.Tail())
			}
			expect(t, s.Group(1), 1, 3, always(1))
			closeStore(t, s)
		}
	}
}

// TestCutOff: a file that became shorter is damage in any boot.
func TestCutOff(t *testing.T) {
	for _, boot := range []string{"one", "two"} {
		whole, at := killed(t, 7, "one", true)
		for _, size := range []int64{0, 1, at, at + 100, at + pageSize, testSegment - 1} {
			fs := copyFS(t, whole)
			cut(t, fs, segmentName(1), size)
			s, err := openIn(fs, boot)
			if err == nil && s.Tail() == nil {
				t.Errorf("boot %s: it opens with %d octets", boot, size)
			}
			if err == nil {
				closeStore(t, s)
			}
		}
	}
}

// TestPowerLossInAFirstBlock: the power fails before the first sync of a segment. Its first block
// may be there, and its last page, which was written before, may not. In the same boot that is
// damage.
func TestPowerLossInAFirstBlock(t *testing.T) {
	whole, _ := killed(t, 1, "one", false)
	for boot, opens := range map[string]bool{"one": false, "two": true} {
		fs := copyFS(t, whole)
		cut(t, fs, segmentName(1), testSegment-1)
		for range 2 { // the second time the mark is of that boot
			s, err := openIn(fs, boot)
			if (err == nil) != opens {
				t.Errorf("boot %s: %v", boot, err)
			}
			if err == nil {
				if last, _ := s.Group(1).LastIndex(); last != 1 {
					t.Errorf("the log ends at %d", last)
				}
				closeStore(t, s)
			}
		}
	}
}

// cut makes a file shorter.
func cut(t testing.TB, fs vfs.FS, name string, size int64) {
	t.Helper()
	f, err := fs.Open("log/" + name)
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, size)
	if _, err := f.ReadAt(p, 0); err != nil && size > 0 {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if f, err = fs.Create("log/"+name, writeCategory); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(p); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestMarkFollows: it follows by itself when writing pauses.
func TestMarkFollows(t *testing.T) {
	synced := make(chan struct{}, 100)
	inj := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSyncData && strings.HasSuffix(op.Path, markName) {
			synced <- struct{}{}
		}
		return nil
	})
	s, err := Open(
		Options{
			FS:          errorfs.Wrap(vfs.NewMem(), inj),
			Dir:         "log",
			SegmentSize: testSegment,
			Settle:      time.Millisecond,
		},
	)
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	<-synced // by Open
	for i := uint64(1); i <= 3; i++ {
		store(t, s.Group(1), i, i, 1)
		<-synced
	}
}

// TestMarkOfAnOlderProgram: what an older program left in a slot is read as far as it goes.
func TestMarkOfAnOlderProgram(t *testing.T) {
	m := markState{
		number: 9,
		block:  7,
		groups: []markedGroup{{1, 2, 3}},
		boot:   "one",
		doubt:  8,
		kind:   doubtTorn,
	}
	b := m.encode()
	if got, ok := parseMark(b); !ok || got.boot != "one" || got.doubt != 8 ||
		got.kind != doubtTorn ||
		!got.sameBoot("one") ||
		got.sameBoot("two") {
		t.Errorf("%+v %v", got, ok)
	}
	older := markState{number: 11, block: 9, groups: m.groups}
	n := strings.Index(string(older.encode()), string(le.AppendUint32(nil, markMore)))
	copy(b, older.encode()[:n]) // over the slot, so that the rest stays
	if got, ok := parseMark(b); !ok || got.block != 9 || got.boot != "" || got.doubt != 0 {
		t.Errorf("%+v %v", got, ok)
	}
}

// TestOddsOfAFlip: wherever in its last block a bit flips after a kill, the block is whole, or the
// store says that it is not.
func TestOddsOfAFlip(t *testing.T) {
	whole, at := killed(t, 7, "one", false)
	rng := rand.New(rand.NewPCG(1, 2))
	told := 0
	for range 500 {
		fs := copyFS(t, whole)
		alter(
			t,
			fs,
			segmentName(1),
			at+rng.Int64N(pageSize),
			func(p []byte) { p[0] ^= 1 << rng.IntN(8) },
		)
		s := mustOpenIn(t, fs, "one")
		last, _ := s.Group(1).Last()
		if s.Tail() != nil {
			told++
		}
		if (s.Tail() != nil) == (last == 7) {
			t.Fatalf("the tail is %v, the log ends at %d", s.Tail(), last)
		}
		closeStore(t, s)
	}
	if told < 50 {
		t.Errorf("%d of 500 were told of", told)
	}
}
