package control

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func pusher(t *testing.T) *bench {
	b := newBench(t)
	b.members("mx1", "mx2")
	for id := range uint16(2) {
		must(t, b.SetVersion(ctx, id+1, "5.0", PushProtocol))
	}
	return b
}

// TestPush: each version follows the one that its maker saw; one that is repeated is done once.
func TestPush(t *testing.T) {
	b := pusher(t)
	if _, ok := b.State.LastPushed(); ok || len(b.State.Pushed()) != 0 {
		t.Fatal("there is a version at first")
	}
	first := Pushed{Version: 1, Text: "one", Who: "root@mx1", Note: "begin"}
	must(t, b.Push(ctx, first))
	b.now = b.now.Add(time.Minute)
	must(t, b.Push(ctx, first)) // its answer was lost
	refused(t, b.Push(ctx, Pushed{Version: 1, Text: "another"}), ErrStale,
		"version 1 of the configuration is in force by now")
	refused(t, b.Push(ctx, Pushed{Version: 3, Text: "three"}), ErrStale, "version 1")
	must(t, b.Push(ctx, Pushed{Version: 2, Text: "two"}))
	refused(t, b.Push(ctx, first), ErrStale, "version 2")
	first.At = clockStart
	want := []Pushed{first, {Version: 2, Text: "two", At: b.now}}
	if got := b.State.Pushed(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if words := b.State.Describe(b.store.Log[len(b.store.Log)-2]); words !=
		"version 2 of the configuration is pushed" {
		t.Errorf("it is described as %q", words)
	}
}

// TestPushNeedsAll: with a member of an older protocol nothing is proposed, and that is named.
func TestPushNeedsAll(t *testing.T) {
	b := newBench(t)
	b.members("mx1", "mx2", "mx3")
	must(t, b.SetVersion(ctx, 1, "5.0", PushProtocol))
	must(t, b.SetVersion(ctx, 3, "5.0", PushProtocol))
	must(t, b.SetVersion(ctx, 2, "4.0", HandOverProtocol))
	before := len(b.store.Log)
	refused(t, b.Push(ctx, Pushed{Version: 1, Text: "one"}), ErrInvalid,
		"a pushed configuration needs protocol 5 of every node, and the cluster speaks 4: "+
			"upgrade mx2 (version 4.0) first")
	if len(b.store.Log) != before {
		t.Error("it was proposed")
	}
	must(t, b.SetVersion(ctx, 2, "5.0", PushProtocol))
	must(t, b.Push(ctx, Pushed{Version: 1, Text: "one"}))
	if b.State.TooOld(HandOverProtocol) == nil {
		t.Error("an older program may take part")
	}
}

func TestPushBounds(t *testing.T) {
	b := pusher(t)
	before := len(b.store.Log)
	for _, p := range []Pushed{{Version: 1}, {Text: "x"},
		{Version: 1, Text: strings.Repeat("x", MaxPushedText+1)},
		{Version: 1, Text: "x", Who: strings.Repeat("x", maxPushedWho+1)},
		{Version: 1, Text: "x", Note: strings.Repeat("x", MaxPushedNote+1)}} {
		if err := b.Push(ctx, p); err == nil || len(b.store.Log) != before {
			t.Errorf("%.80v: %v", p, err)
		}
	}
	must(t, b.Push(ctx, Pushed{Version: 1, Text: strings.Repeat("<", MaxPushedText)}))
	for v := uint64(2); v <= 50; v++ {
		must(t, b.Push(ctx, Pushed{Version: v, Text: fmt.Sprint("text ", v)}))
		rows := 0
		for k := range b.store.KV {
			if strings.HasPrefix(k, "cv") {
				rows++
			}
		}
		all := b.State.Pushed()
		if want := min(int(v), MaxPushed); rows != want || len(all) != want ||
			all[len(all)-1].Version != v || all[0].Version != v-uint64(want)+1 {
			t.Fatalf("version %d: %d rows, %d to %d", v, rows, all[0].Version,
				all[len(all)-1].Version)
		}
		again := New()
		must(t, again.Load(b.store))
		if !same(again, b.State) {
			t.Fatalf("version %d: the rows are not what the view is", v)
		}
	}
}

// TestPushedOfABackup: the versions of a backup are pushed again, under their numbers.
func TestPushedOfABackup(t *testing.T) {
	b := pusher(t)
	for v := uint64(1); v <= 23; v++ {
		must(t, b.Push(ctx, Pushed{Version: v, Text: fmt.Sprint("text ", v), Who: "root"}))
	}
	anew := pusher(t)
	anew.now = anew.now.Add(time.Hour)
	must(t, b.store.Scan(nil, []byte{255}, func(k, v []byte) bool {
		if p, ok := PushedOf(k, v); ok {
			must(t, anew.Push(ctx, p))
		}
		return true
	}))
	if !reflect.DeepEqual(anew.State.Pushed(), b.State.Pushed()) {
		t.Errorf("restored: %+v", anew.State.Pushed())
	}
}
