package logstore

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// fill stores entries until the segment after next begins, and returns the place of the first.
func fill(t testing.TB, s *Store, g *Group, from uint64) (next uint64, at Place) {
	t.Helper()
	begin := s.Newest()
	for next = from; s.Newest() < begin+2; next++ {
		store(t, g, next, next, 1)
	}
	at, _ = g.Locate(from)
	return next, at
}

// A segment is written again only when its window entries and its kept parts are gone and a flush
// began after that.
func TestReuse(t *testing.T) {
	s := open(t, vfs.NewMem())
	defer closeStore(t, s)
	g := s.Group(1)
	next, at := fill(t, s, g, 3)
	flush := func() {
		t.Helper()
		if err := s.EndFlush(s.BeginFlush()); err != nil {
			t.Fatal(err)
		}
	}
	free := func(step string, want int) {
		t.Helper()
		if st := s.Stats(); st.Free != want {
			t.Fatalf("%s: %+v, want %d free", step, st, want)
		}
	}
	keep := func(delta int64) {
		t.Helper()
		if err := s.Keep(at.Segment, delta); err != nil {
			t.Fatal(err)
		}
	}
	keep(1000)
	flush()
	free("all in the window", 0)
	g.Compactable(next - 2)
	if err := g.DeleteRange(3, next-2); err != nil {
		t.Fatal(err)
	}
	flush()
	kept := s.Stats().Segments
	free("one part kept", s.Stats().Free)
	early := s.BeginFlush()
	before := s.Stats().Free
	keep(-1000)
	if err := s.EndFlush(early); err != nil {
		t.Fatal(err)
	}
	free("a flush completed that had begun earlier", before)
	flush()
	free("a flush began after the last drop", before+1)
	if got := s.Stats().Segments; got != kept-1 {
		t.Errorf("%d segments in use, want %d", got, kept-1)
	}
	if err := s.Keep(at.Segment, 1); !errors.Is(err, ErrLost) {
		t.Errorf("keeping something in a free segment: %v", err)
	}
	fill(t, s, g, next)
	if s.Stats().Recycled == 0 {
		t.Error("nothing was recycled")
	}
}

// A moved part reads the same, from its new place, after a restart too.
func TestMove(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	g := s.Group(1)
	next, at := fill(t, s, g, 3)
	if err := s.Keep(at.Segment, 10); err != nil {
		t.Fatal(err)
	}
	g.Compactable(next - 1)
	if err := g.DeleteRange(3, next-1); err != nil {
		t.Fatal(err)
	}
	if got := s.Sparse(0, 4); len(got) != 1 || got[0] != at.Segment {
		t.Fatalf("sparse: %v, want segment %d", got, at.Segment)
	}
	found, err := s.Contents(at.Segment)
	if err != nil || len(found) == 0 || found[0].Index != 3 || found[0].Place.Pos != at.Pos {
		t.Fatalf("contents: %v, %v", found, err)
	}
	moving := []Moving{{Index: 3, Old: found[0].Place, Live: func(part int) bool {
		return part != 1
	}, Keep: 7}}
	if err := g.Move(moving); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	p := moving[0].New
	s, err = Open(Options{FS: fs, Dir: "log", SegmentSize: testSegment})
	if err == nil {
		err = s.Keep(p.Segment, moving[0].Keep)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	s.Loaded()
	g = s.Group(1)
	table, err := g.ReadTable(3, p)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := SplitParts(entry(3, 1).Extensions)
	for i, w := range want {
		got, err := g.ReadPart([]byte("before:"), table, p, i)
		if i == 1 {
			w = nil
		}
		if err != nil || string(got) != "before:"+string(w) {
			t.Errorf("part %d: %d octets, %v", i, len(got), err)
		}
	}
}
