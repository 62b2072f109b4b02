package mail

import (
	"sort"
	"testing"
	"time"
)

func TestIDsSortByTimeAndParse(t *testing.T) {
	g := NewIDs(513, time.UnixMilli(1_700_000_000_000))
	var texts []string
	now := time.UnixMilli(1_600_000_000_000) // behind the floor: IDs must not run backwards
	seen := map[ID]bool{}
	for i := range 3 << 20 / 2 {
		if i%1000 == 0 {
			now = now.Add(time.Millisecond)
		}
		id := g.Next(now)
		if seen[id] {
			t.Fatalf("ID %v given twice", id)
		}
		seen[id] = true
		if i%4096 == 0 {
			texts = append(texts, id.String())
			back, err := ParseID(id.String())
			if err != nil || back != id {
				t.Fatalf("ParseID(%q) = %v, %v", id.String(), back, err)
			}
			if id.Time().Before(time.UnixMilli(1_700_000_000_000)) {
				t.Fatalf("ID time %v below the floor", id.Time())
			}
		}
	}
	if !sort.StringsAreSorted(texts) {
		t.Fatal("IDs do not sort by time")
	}
}

func TestFloorID(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_123)
	f, id := FloorID(at), NewIDs(7, time.Time{}).Next(at)
	if !f.Time().Equal(at) || !id.Time().Equal(at) || f.String() > id.String() {
		t.Fatalf("floor %v (%v), id %v (%v)", f, f.Time(), id, id.Time())
	}
}
