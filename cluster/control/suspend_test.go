package control

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// suspender is a cluster of nodes that all know suspensions.
func suspender(t *testing.T) *bench {
	b := newBench(t)
	b.members("mx1", "mx2")
	for id := range uint16(2) {
		must(t, b.SetVersion(ctx, id+1, "2.0", SuspensionsProtocol))
	}
	return b
}

func suspended(kind, name string) Suspension {
	return Suspension{Kind: kind, Name: name, Reason: "they asked for it"}
}

func TestSuspend(t *testing.T) {
	b := suspender(t)
	if v, all := b.State.Suspensions(); v != 0 || len(all) != 0 {
		t.Fatalf("at first: %d, %v", v, all)
	}
	first, err := b.Suspend(ctx, suspended("domain", "a.example"), 0)
	must(t, err)
	second, err := b.Suspend(ctx, suspended("tenant", "a.example"), 2*time.Hour)
	must(t, err)
	want := []Suspension{
		{Kind: "domain", Name: "a.example", Reason: "they asked for it", Since: clockStart,
			Serial: first},
		{Kind: "tenant", Name: "a.example", Reason: "they asked for it", Since: clockStart,
			Until: clockStart.Add(2 * time.Hour), Serial: second},
	}
	if v, all := b.State.Suspensions(); v != second || first >= second ||
		!reflect.DeepEqual(all, want) {
		t.Fatalf("version %d of %d, %d: %+v", v, first, second, all)
	}

	// A second one replaces the first, and is another one.
	b.now = b.now.Add(time.Minute)
	third, err := b.Suspend(ctx, Suspension{Kind: "domain", Name: "a.example", Reason: "again"},
		time.Hour)
	must(t, err)
	must(t, b.Expire(ctx, want[0])) // too late
	if v, all := b.State.Suspensions(); v != third || len(all) != 2 || all[0].Reason != "again" ||
		all[0].Serial != third || !all[0].Until.Equal(b.now.Add(time.Hour)) {
		t.Fatalf("version %d of %d: %+v", v, third, all)
	}
	fourth, err := b.Resume(ctx, "domain", "a.example")
	must(t, err)
	if v, all := b.State.Suspensions(); v != fourth || fourth <= third ||
		!reflect.DeepEqual(all, want[1:]) {
		t.Fatalf("version %d of %d: %+v", v, fourth, all)
	}
	_, err = b.Resume(ctx, "domain", "a.example")
	refused(t, err, ErrUnknown, "the domain a.example is not suspended")
	must(t, b.Expire(ctx, want[1]))
	if _, all := b.State.Suspensions(); len(all) != 0 {
		t.Fatalf("left: %+v", all)
	}
	for k := range b.store.KV {
		if strings.HasPrefix(k, "cs") {
			t.Errorf("row %q is left", k)
		}
	}
}

func TestSuspendRefusals(t *testing.T) {
	b := newBench(t)
	b.members("mx1", "mx2")
	must(t, b.SetVersion(ctx, 1, "2.0", SuspensionsProtocol))
	before := len(b.store.Log)
	if _, err := b.Suspend(ctx, suspended("domain", "a.example"), 0); !errors.Is(err, ErrInvalid) ||
		len(b.store.Log) != before {
		t.Fatalf("with an old member: %v", err)
	}
	must(t, b.SetVersion(ctx, 2, "2.0", SuspensionsProtocol))
	before = len(b.store.Log)
	for _, s := range []Suspension{suspended("", "x"), suspended("domain", ""),
		suspended("domain", strings.Repeat("x", 256)), {Kind: "domain", Name: "x"},
		{Kind: "domain", Name: "x", Reason: strings.Repeat("x", 201)}} {
		if _, err := b.Suspend(ctx, s, 0); err == nil || len(b.store.Log) != before {
			t.Errorf("%+v: %v", s, err)
		}
	}
	for i := range MaxSuspensions {
		_, err := b.Suspend(ctx, suspended("domain", fmt.Sprint("d", i, ".example")), 0)
		must(t, err)
	}
	_, err := b.Suspend(ctx, suspended("domain", "one-more.example"), 0)
	refused(t, err, ErrFull, "postroad resume")
	_, err = b.Suspend(ctx, suspended("domain", "d7.example"), time.Hour) // that one is there
	must(t, err)
	_, err = b.Resume(ctx, "domain", "d8.example")
	must(t, err)
	_, err = b.Suspend(ctx, suspended("domain", "one-more.example"), 0)
	must(t, err)
}

// TestSuspensionsAreRows: whatever comes and goes, the rows are what the view is, and the version
// grows.
func TestSuspensionsAreRows(t *testing.T) {
	b := suspender(t)
	rng := rand.New(rand.NewPCG(1, 2))
	want := map[string]bool{}
	var last uint64
	for range 500 {
		name := fmt.Sprint("d", rng.IntN(12))
		var version uint64
		var err error
		if rng.IntN(2) == 0 {
			version, err = b.Suspend(ctx, suspended("domain", name), 0)
			want[name] = true
		} else if version, err = b.Resume(ctx, "domain", name); !want[name] {
			refused(t, err, ErrUnknown, name)
			continue
		} else {
			delete(want, name)
		}
		must(t, err)
		if version <= last {
			t.Fatalf("version %d after %d", version, last)
		}
		last = version
		again := New()
		must(t, again.Load(b.store))
		_, all := again.Suspensions()
		if !same(again, b.State) || len(all) != len(want) ||
			slices.ContainsFunc(all, func(s Suspension) bool { return !want[s.Name] }) {
			t.Fatalf("the rows have %+v; want %v", all, want)
		}
	}
}

// TestSuspensionsOutlastARecovery: what groups heard of before the log was cut short must not look
// newer than what comes.
func TestSuspensionsOutlastARecovery(t *testing.T) {
	b := suspender(t)
	old, err := b.Suspend(ctx, suspended("domain", "a.example"), 0)
	must(t, err)
	must(t, b.Refound(ctx, "c2", []byte("cert"), []byte("key")))
	if v, all := b.State.Suspensions(); v <= old+1<<31 || len(all) != 1 {
		t.Errorf("version %d after %d, %v", v, old, all)
	}
}
