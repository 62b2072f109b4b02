package queue

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue/machine"
)

func TestWindowsByCursor(t *testing.T) {
	b := newBed(t, Options{}).start()
	var want []mail.ID
	for range 25 {
		want = append(want, b.accept("s@x.example", "r@y.example"))
		b.accept("s@x.example", "r@z.example")
	}
	var got []mail.ID
	for at := (Cursor{}); ; {
		items, next, err := b.q.Due("y.example", at, b.c.Now().Add(time.Second), 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range items {
			got = append(got, it.Message.ID)
		}
		if at = next; len(items) < 10 {
			break
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d items, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("item %d is %v, want %v", i, got[i], want[i])
		}
	}
}

// settlingGroup settles messages between the scan of their rows and the reading of their records.
type settlingGroup struct {
	Group
	after func()
}

func (g *settlingGroup) Scan(from, to []byte, fn func(k, v []byte) bool) error {
	err := g.Group.Scan(from, to, fn)
	if g.after != nil && from[0] == machine.KeySchedule {
		g.after()
	}
	return err
}

// Fewer items than asked for mean the end of the schedule, even when messages go while it is read.
func TestWindowIsFullWhileMessagesGo(t *testing.T) {
	b := newBed(t, Options{})
	g := &settlingGroup{Group: b.g}
	if err := b.q.Start(t.Context(), g, b.h); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.stop)
	var ids []mail.ID
	for range 30 {
		ids = append(ids, b.accept("s@x.example", "r@y.example"))
	}
	g.after = func() {
		g.after = nil
		for _, id := range ids[3:8] {
			b.settle(Outcome{ID: id, State: Relayed, Attempt: mail.Attempt{At: b.c.Now()}})
		}
	}
	items, next, err := b.q.Due("y.example", Cursor{}, b.c.Now().Add(time.Second), 10)
	if err != nil || len(items) != 10 || items[3].Message.ID != ids[8] || next.ID != ids[14] {
		t.Fatalf("%d items up to %v, %v", len(items), next.ID, err)
	}
}

// countingGroup counts the pairs that scans pass.
type countingGroup struct {
	Group
	from [][]byte
}

func (g *countingGroup) Scan(from, to []byte, fn func(k, v []byte) bool) error {
	g.from = append(g.from, append([]byte(nil), from...))
	return g.Group.Scan(from, to, fn)
}

// A scan of a domain begins where the last one found something, not among the tombstones before it,
// and a row that is put before that place is found all the same.
func TestScansBeginAtTheHead(t *testing.T) {
	b := newBed(t, Options{})
	g := &countingGroup{Group: b.g}
	if err := b.q.Start(t.Context(), g, b.h); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.stop)
	due := func() []Item {
		t.Helper()
		items, _, err := b.q.Due("y.example", Cursor{}, b.c.Now().Add(2*time.Hour), 100)
		if err != nil {
			t.Fatal(err)
		}
		return items
	}
	a := b.accept("s@x.example", "r@y.example")
	b.settle(
		Outcome{
			ID:      a,
			State:   Deferred,
			Due:     b.c.Now().Add(time.Hour),
			Attempt: mail.Attempt{At: b.c.Now()},
		},
	)
	due()
	due()
	key := machine.AppendScheduleKey(nil, "y.example", b.c.Now().Add(time.Hour).UnixMilli(), a)
	if last := g.from[len(g.from)-1]; string(last) != string(key) {
		t.Fatalf("a scan began at %q, want %q", last, key)
	}
	c := b.accept("s@x.example", "r@y.example") // due before
	if items := due(); len(items) != 2 || items[0].Message.ID != c {
		t.Fatalf("%d items", len(items))
	}
	if _, err := b.q.Flush(t.Context(), Filter{IDs: []mail.ID{a}}, nil); err != nil {
		t.Fatal(err)
	}
	b.settle(Outcome{ID: c, State: Relayed, Attempt: mail.Attempt{At: b.c.Now()}})
	if items := due(); len(items) != 1 || items[0].Message.ID != a {
		t.Fatalf("%d items", len(items))
	}
}

// Whatever scans and writes come between each other: a row that was written is found by the next
// scan.
func TestHeadsNeverHideARow(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var h scanHints
		h.reset()
		var visible []int64 // rows in the store
		type scan struct {
			version uint64
			first   place
		}
		var running []scan
		for range 30 {
			switch r.IntN(3) {
			case 0: // a row becomes visible, and then is noted; scans may end in between
				due := int64(1 + r.IntN(50))
				visible = append(visible, due)
				for len(running) > 0 && r.IntN(2) == 0 {
					h.found("d", running[0].version, running[0].first)
					running = running[1:]
				}
				h.wrote([]byte("d"), place{due: due})
			case 1:
				from, version := h.begin("d")
				first := place{due: 1000}
				for _, due := range visible {
					if due >= from.due {
						first = first.min(place{due: due})
					} else {
						t.Fatalf("row %d is hidden by head %d", due, from.due)
					}
				}
				running = append(running, scan{version, first})
			case 2:
				if len(running) > 0 {
					i := r.IntN(len(running))
					h.found("d", running[i].version, running[i].first)
					running = append(running[:i], running[i+1:]...)
				}
			}
		}
	}
}

func TestScanArrived(t *testing.T) {
	b := newBed(t, Options{}).start()
	ids := b.fill(300)
	var got []mail.ID
	err := b.q.ScanArrived(ids[4], ids[290].Time(), func(s *Stored) bool {
		got = append(got, s.Message.ID)
		return true
	})
	if err != nil || len(got) != 285 || got[0] != ids[5] || got[284] != ids[289] {
		t.Fatalf("%d messages, %v", len(got), err)
	}
	if err := b.q.ScanArrived(ids[4], ids[2].Time(), func(*Stored) bool {
		t.Error("called")
		return true
	}); err != nil {
		t.Fatal(err)
	}
}

func TestOrphanedChunksAreSwept(t *testing.T) {
	b := newBed(t, Options{}).start()
	run := b.q.run.Load()
	old := b.q.opts.IDs.Next(b.c.Now())
	content := contentOf(make([]byte, 3*machine.PartSize))
	if n, fail := run.proposeChunks(new(slot), old, content, nil); fail != nil || n != 3 {
		t.Fatal(n, fail)
	}
	b.c.add(machine.OrphanAge + time.Minute)
	young := b.q.opts.IDs.Next(b.c.Now())
	if _, fail := run.proposeChunks(new(slot), young, content, nil); fail != nil {
		t.Fatal(fail)
	}
	if more, err := run.sweepOnce(); err != nil || more {
		t.Fatal(more, err)
	}
	if n := len(b.rowsOf(machine.KeyChunk)); n != 3 || len(b.g.Now().Kept()) != 3 {
		t.Fatalf(
			"%d chunks, %d parts are left, want those of the young one",
			n,
			len(b.g.Now().Kept()),
		)
	}
	// An accept command whose chunks are gone takes nothing.
	l := run.slots[len(run.slots)-1]
	data := machine.AppendAcceptHead(machine.AppendCommand(nil, machine.CmdAccept,
		b.c.Now().UnixMilli()), l.key, 99, 1)
	data = machine.AppendAcceptEntry(
		data,
		old,
		ReportID{},
		3*machine.PartSize,
		3,
		l.envelope.Encode(envelope("s@x.example", "r@y.example")),
	)
	if fail := run.proposeAccept(data, nil); fail == nil || b.q.Stats().Messages != 0 {
		t.Fatalf("%v, %+v", fail, b.q.Stats())
	}
}

func TestSlotsOfThePastAreSwept(t *testing.T) {
	b := newBed(t, Options{}).start()
	b.accept("s@x.example", "r@y.example")
	b.stop()
	b.start()
	b.accept("s@x.example", "r@y.example")
	if n := len(b.rowsOf(machine.KeySlot)); n != 2 {
		t.Fatalf("%d slots", n)
	}
	run := b.q.run.Load()
	run.sweepOnce()
	if n := len(b.rowsOf(machine.KeySlot)); n != 2 {
		t.Fatalf("%d slots: the old one is still needed", n)
	}
	b.c.add(machine.AcceptMemory + time.Minute)
	run.sweepOnce()
	if n := len(b.rowsOf(machine.KeySlot)); n != 1 {
		t.Fatalf("%d slots", n)
	}
}
