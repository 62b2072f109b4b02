package queue

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/queue/machine"
)

// What Suspend acknowledges the listener has heard of, and a second queue of the group, and a new
// owner after any of them.
func TestSuspend(t *testing.T) {
	b := newBed(t, Options{}).start()
	all := []Suspension{
		{Kind: SuspendDomain, Name: "a.example", Reason: "they asked for it", Serial: 3},
		{Kind: SuspendTenant, Name: "t1", Reason: "spam", Serial: 7, Lasts: time.Hour},
	}
	got, err := b.q.Suspend(t.Context(), 7, all)
	if err != nil || got.Version != 7 || got.Index == 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	want := Suspensions{
		Version: 7,
		Index:   got.Index,
		All: []Suspension{
			all[0],
			{
				Kind:   SuspendTenant,
				Name:   "t1",
				Reason: "spam",
				Serial: 7,
				Until:  testEpoch.Add(time.Hour),
			},
		},
	}
	if !reflect.DeepEqual(b.h.suspensions, []Suspensions{want}) {
		t.Errorf("the listener heard %+v", b.h.suspensions)
	}
	// A version that it has is acknowledged at the entry that brought it, and nobody hears of it
	// again.
	if again, err := b.q.Suspend(t.Context(), 5, nil); err != nil || again.Version != 7 ||
		again.Index != got.Index ||
		len(b.h.suspensions) != 1 {
		t.Errorf("again: %+v, %v; heard %+v", again, err, b.h.suspensions)
	}
	b.stop()
	if _, err := b.q.Suspend(t.Context(), 9, nil); !errors.Is(err, ErrRefused) {
		t.Errorf("without an owner: %v", err)
	}
	b.start()
	if now, err := b.q.Suspensions(); err != nil || !reflect.DeepEqual(now, want) {
		t.Errorf("the next owner has %+v, %v", now, err)
	}
	if got, err := b.q.Suspend(t.Context(), 9, nil); err != nil || got.Version != 9 {
		t.Errorf("resumed: %+v, %v", got, err)
	}
	if now, err := b.q.Suspensions(); err != nil || len(now.All) != 0 || now.Version != 9 {
		t.Errorf("after that: %+v, %v", now, err)
	}
}

// The largest list is a command that a group can take.
func TestSuspendBound(t *testing.T) {
	all := make([]Suspension, maxSuspensions)
	for i := range all {
		all[i] = Suspension{
			Kind:   SuspendDomain,
			Name:   strings.Repeat("x", 255),
			Reason: strings.Repeat("y", 200),
			Serial: 1 << 60,
			Lasts:  1000 * time.Hour,
		}
	}
	if n := len(machine.AppendSuspensions(nil, 1<<60, all)); n > 1<<20 {
		t.Errorf("the command has %d octets", n)
	}
	b := newBed(t, Options{}).start()
	if _, err := b.q.Suspend(t.Context(), 1, all); err != nil {
		t.Error(err)
	}
	if _, err := b.q.Suspend(t.Context(), 2, append(all, all[0])); err == nil {
		t.Error("one more is taken")
	}
}

// A suspend command of an owner of the past may come late: it is news to the one that is.
func TestSuspendOfThePast(t *testing.T) {
	b := newBed(t, Options{}).start()
	late := machine.AppendSuspensions(
		machine.AppendCommand(nil, machine.CmdSuspend, 5),
		3,
		[]Suspension{{Kind: SuspendSite, Name: "mx.example", Reason: "x", Serial: 3}},
	)
	if _, err := b.g.Propose(context.Background(), late, nil); err != nil ||
		len(b.h.suspensions) != 1 ||
		b.h.suspensions[0].Version != 3 {
		t.Errorf("%v, heard %+v", err, b.h.suspensions)
	}
	if checkForwarded(late, nil) == nil {
		t.Error("it may be forwarded")
	}
}
