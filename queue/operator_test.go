package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue/machine"
	"github.com/postroad/postroad/queue/queuetest"
)

// fill accepts n messages of one recipient each, over five domains, a second apart.
func (b *bed) fill(n int) (ids []mail.ID) {
	b.t.Helper()
	for i := range n {
		b.c.add(time.Second)
		e := envelope(
			fmt.Sprintf("s%d@Origin.example", i%3),
			fmt.Sprintf("r%d@d%d.example", i, i%5),
		)
		e.Origin.Tenant, e.Origin.Campaign = fmt.Sprint("t", i%2), fmt.Sprint("c", i%4)
		a := b.send(e, []byte("x"))
		if a.fail != nil {
			b.t.Fatal(a.fail)
		}
		ids = append(ids, a.id)
	}
	return ids
}

func TestFilters(t *testing.T) {
	inflight := map[mail.ID]bool{}
	b := newBed(
		t,
		Options{InFlight: func(id mail.ID, _ uint32) bool { return inflight[id] }},
	).start()
	ids := b.fill(600) // more than a window
	inflight[ids[0]] = true
	b.settle(
		Outcome{
			ID:      ids[1],
			State:   Deferred,
			Due:     b.c.Now().Add(time.Hour),
			Attempt: mail.Attempt{At: b.c.Now()},
		},
		Outcome{ID: ids[2], State: Held, Attempt: mail.Attempt{At: b.c.Now()}},
	)
	for _, c := range []struct {
		name string
		f    Filter
		want int64
	}{
		{"all", Filter{}, 600},
		{"domain", Filter{Domain: "D3.example"}, 120},
		{"sender", Filter{Sender: "S1@origin.EXAMPLE"}, 200},
		{"null sender", Filter{Sender: "<>"}, 0},
		{"recipient", Filter{Recipient: "R17@d2.example"}, 1},
		{"tenant", Filter{Tenant: "t1"}, 300},
		{"tenant and campaign", Filter{Tenant: "t1", Campaign: "c0"}, 0},
		{"deferred", Filter{States: []State{Deferred}}, 1},
		{"held or in flight", Filter{States: []State{Held, InFlight}}, 2},
		{"ready", Filter{States: []State{Ready}}, 597},
		{"older", Filter{Before: testEpoch.Add(101 * time.Second)}, 100},
		{"ids", Filter{IDs: []mail.ID{ids[5], ids[3], ids[3], {1}}}, 2},
		{"ids and state", Filter{IDs: ids[:10], States: []State{InFlight}}, 1},
		{"ids and age", Filter{IDs: ids, Before: testEpoch.Add(11 * time.Second)}, 10},
	} {
		count, err := b.q.Count(t.Context(), c.f)
		if err != nil || count.Recipients != c.want || count.Messages != c.want ||
			count.Index != b.g.Now().Index {
			t.Errorf("%s: count %+v, %v, want %d", c.name, count, err, c.want)
		}
		var last mail.ID
		list, err := b.q.List(t.Context(), c.f, func(s *Stored, _ []uint32) bool {
			if id := s.Message.ID; id.String() <= last.String() {
				t.Errorf("%s: %v after %v", c.name, id, last)
			} else {
				last = id
			}
			return true
		})
		if err != nil || list.Recipients != c.want {
			t.Errorf("%s: list %+v, %v, want %d", c.name, list, err, c.want)
		}
	}
	if n, err := b.q.List(t.Context(), Filter{}, func(*Stored, []uint32) bool {
		return false
	}); err != nil ||
		n.Messages != 1 {
		t.Errorf("a list that was stopped: %+v, %v", n, err)
	}
}

func TestListEndsWithItsContext(t *testing.T) {
	b := newBed(t, Options{}).start()
	b.fill(10)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := b.q.List(ctx, Filter{}, func(*Stored, []uint32) bool {
		return true
	}); err == nil ||
		n.Messages != 0 {
		t.Fatalf("%+v, %v", n, err)
	}
	if _, err := b.q.Count(ctx, Filter{Tenant: "t1"}); err == nil {
		t.Fatal("a count without its context")
	}
}

func TestVerbsOverALongQueue(t *testing.T) {
	b := newBed(t, Options{}).start()
	ids := b.fill(1300) // three commands
	var moved []mail.ID
	total, err := b.q.Hold(t.Context(), Filter{}, func(s *Stored, n uint32, to State) {
		if to != Held || n != 0 {
			t.Errorf("recipient %d to %v", n, to)
		}
		moved = append(moved, s.Message.ID)
	})
	if err != nil || total.Recipients != 1300 || total.Messages != 1300 ||
		total.ByState[Held] != 1300 ||
		!slices.Equal(moved, ids) {
		t.Fatalf("%+v, %v, %d heard", total, err, len(moved))
	}
	if len(b.rowsOf(machine.KeySchedule)) != 0 || len(b.h.changed) != 1300 {
		t.Fatalf("%d scheduled, %d changed", len(b.rowsOf(machine.KeySchedule)), len(b.h.changed))
	}
	if total, err = b.q.Hold(t.Context(), Filter{}, nil); err != nil || total.Recipients != 0 {
		t.Fatalf("held twice: %+v, %v", total, err)
	}
	if total, err = b.q.ReleaseHeld(t.Context(), Filter{Domain: "d0.example"}, nil); err != nil ||
		total.Recipients != 260 {
		t.Fatalf("%+v, %v", total, err)
	}
	why := mail.Attempt{
		At:       b.c.Now(),
		Code:     550,
		Enhanced: "5.7.1",
		Text:     "rejected by the operator",
	}
	if total, err = b.q.Fail(t.Context(), Filter{States: []State{Ready}}, why, nil); err != nil ||
		total.ByState[Failed] != 260 {
		t.Fatalf("%+v, %v", total, err)
	}
	if s := b.q.Stats(); s.Reports != 260 || s.Messages != 1300 {
		t.Fatalf("%+v", s)
	}
	if total, err = b.q.Remove(t.Context(), Filter{States: []State{Held}}, nil); err != nil ||
		total.Recipients != 1040 {
		t.Fatalf("%+v, %v", total, err)
	}
	if s := b.q.Stats(); s.Messages != 260 || s.Recipients[Removed] != 1040 ||
		s.Moves[machine.OperatorRemove] != 1040 ||
		len(b.h.gone) != 1040 {
		t.Fatalf("%+v, %d gone", s, len(b.h.gone))
	}
}

// TestVerbsTellWhatIsUnderWay: of what was being attempted when it was held, failed or removed
// nobody can say that it will not be delivered.
func TestVerbsTellWhatIsUnderWay(t *testing.T) {
	caught := map[mail.ID]bool{}
	b := newBed(t, Options{Caught: func(id mail.ID, _ uint32) bool { return caught[id] }}).start()
	ids := b.fill(30)
	for _, id := range ids[:10] {
		caught[id] = true
	}
	hold, err := b.q.Hold(t.Context(), Filter{IDs: ids[5:15]}, nil)
	if err != nil || hold.Recipients != 5 || hold.Messages != 10 || hold.ByState[Held] != 5 ||
		hold.ByState[InFlight] != 5 {
		t.Errorf("hold: %+v, %v", hold, err)
	}
	release, err := b.q.ReleaseHeld(t.Context(), Filter{}, nil)
	if err != nil || release.Recipients != 10 || release.ByState[Ready] != 10 ||
		release.ByState[InFlight] != 0 {
		t.Errorf("release: %+v, %v", release, err)
	}
	remove, err := b.q.Remove(t.Context(), Filter{}, nil)
	if err != nil || remove.Recipients != 20 || remove.ByState[Removed] != 20 ||
		remove.ByState[InFlight] != 10 {
		t.Errorf("remove: %+v, %v", remove, err)
	}
}

// TestLostAnswerIsTold: a command that had to be repeated may have moved what its second answer
// does not tell of.
func TestLostAnswerIsTold(t *testing.T) {
	b := newBed(t, Options{})
	var lose atomic.Bool
	b.g.Fault = func([]byte) queuetest.Fault {
		if lose.Swap(false) {
			return queuetest.LoseAnswer
		}
		return queuetest.None
	}
	b.start()
	b.fill(3)
	lose.Store(true)
	total, err := b.q.Hold(t.Context(), Filter{}, nil)
	if !errors.Is(err, ErrUncounted) || total.Recipients != 0 {
		t.Errorf("%+v, %v", total, err)
	}
	if held, err := b.q.Count(t.Context(), Filter{States: []State{Held}}); err != nil ||
		held.Recipients != 3 {
		t.Errorf("%+v, %v", held, err)
	}
}

func TestReportsAreAnsweredOnce(t *testing.T) {
	b := newBed(t, Options{}).start()
	<-b.q.ReportsDue() // at the start all are due to be looked for
	ids := b.fill(5)
	for _, id := range ids {
		b.settle(
			Outcome{
				ID:      id,
				State:   Failed,
				Attempt: mail.Attempt{At: b.c.Now(), Code: 550, Text: "no such user"},
			},
		)
	}
	<-b.q.ReportsDue()
	first, err := b.q.PendingReports(ReportID{}, 3)
	if err != nil || len(first) != 3 {
		t.Fatalf("%d, %v", len(first), err)
	}
	rest, err := b.q.PendingReports(first[2].ID, 3)
	if err != nil || len(rest) != 2 || rest[0].Message.ID != ids[3] ||
		rest[0].Recipients[0].Attempt.Text != "no such user" {
		t.Fatalf("%+v, %v", rest, err)
	}
	for range 2 {
		got := make(chan answer, 1)
		b.q.AcceptReport(
			first[0].ID,
			envelope("", "s0@origin.example"),
			contentOf([]byte("report")),
			func(id mail.ID, f *smtp.Failure) { got <- answer{id, f} },
		)
		if a := <-got; a.fail != nil {
			t.Fatal(a.fail)
		}
	}
	if s := b.q.Stats(); s.Messages != 5 || s.Reports != 4 || s.Accepted != 6 ||
		b.load(ids[0]) != nil {
		t.Fatalf("%+v", s)
	}
	if last := b.h.items[len(b.h.items)-1].Message; !last.IsReport {
		t.Fatalf("%+v", last)
	}
	if err := b.q.DropReports(t.Context(), first[1].ID, first[2].ID); err != nil ||
		b.q.Stats().Messages != 3 {
		t.Fatalf("%+v, %v", b.q.Stats(), err)
	}
}
