package mail

import (
	"io"
	"testing"
)

func TestShare(t *testing.T) {
	spill, err := NewSpill(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	spill.Write([]byte("the rest"))
	released := 0
	whole := &Content{Chunks: [][]byte{[]byte("head ")}, Spill: spill, Size: 13,
		Released: func() { released++ }}
	s := Share(whole)
	a, b := s.Behind(nil), s.Behind([]byte("first "))
	s.Release()
	a.Release()
	if released != 0 {
		t.Fatal("released while one is still to be read")
	}
	if b.Size != 19 || len(b.Chunks) != 2 || string(b.Chunks[0]) != "first " ||
		len(whole.Chunks) != 1 {
		t.Fatalf("behind a prefix: %+v", b)
	}
	if got, err := io.ReadAll(io.NewSectionReader(b.Spill.F, 0, b.Spill.Size)); err != nil ||
		string(got) != "the rest" {
		t.Fatalf("the spill file has %q, %v", got, err)
	}
	b.Release()
	if released != 1 {
		t.Fatalf("released %d times", released)
	}
	if _, err := spill.F.Stat(); err == nil {
		t.Error("the spill file is still open")
	}
}
