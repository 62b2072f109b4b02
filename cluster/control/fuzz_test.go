package control

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// seeds are the commands of a cluster's life.
func seeds(f *testing.F) *bench {
	f.Helper()
	s := New()
	b := &bench{store: newStore(s), now: clockStart, protocol: 1}
	b.Editor = &Editor{State: s, Proposer: b.store, Now: func() time.Time { return b.now }}
	for _, err := range []error{
		b.Init(ctx, "c1", []byte("cert"), []byte("key"), b.node("mx1")), b.Bootstrapped(ctx, 2),
		func() error { _, err := b.AddMember(ctx, b.node("mx2")); return err }(),
		b.Activate(ctx, 2), b.Place(ctx, Plan(s, three)), b.Bootstrapped(ctx, 3),
		b.Observed(ctx, 3, Configuration{Voters: ids(1, 2), Index: 7}),
		b.SetVersion(ctx, 2, "2.0", 2), b.SetAddress(ctx, 2, "b:1"),
		b.AddSecret(ctx, "a-secret-of-a-file", 0), b.Drain(ctx, 2), b.Place(ctx, Plan(s, three)),
		b.Retire(ctx, 3), b.DropToken(ctx, "a-secret-of-a-file"),
		b.Undrain(ctx, 2), b.SetVersion(ctx, 1, "2.0", 2),
		func() error {
			_, err := b.Suspend(ctx, Suspension{Kind: "domain", Name: "a.example", Reason: "x"},
				time.Hour)
			return err
		}(),
		func() error {
			_, err := b.Suspend(ctx, Suspension{Kind: "site", Name: "b", Reason: "x"}, 0)
			return err
		}(),
		func() error { _, err := b.Resume(ctx, "domain", "a.example"); return err }(),
		b.SetVersion(ctx, 1, "3.0", MailboxProtocol), b.SetVersion(ctx, 2, "3.0", MailboxProtocol),
		b.SetVersion(ctx, 1, "4.0", PushProtocol), b.SetVersion(ctx, 2, "4.0", PushProtocol),
		b.Push(ctx, Pushed{Version: 1, Text: "[retry]\n", Who: "root@mx1", Note: "first"}),
		b.Push(ctx, Pushed{Version: 2, Text: "[retry]\nexpire = \"4d\"\n"}),
		b.MakeShards(ctx, 3), b.Place(ctx, Plan(s, three)),
		b.Bootstrapped(ctx, 5),
		b.Place(ctx,
			Placement{Basis: Plan(s, three).Basis, Groups: []Group{{ID: 6, State: GroupRetired}}}),
	} {
		if err != nil {
			f.Fatal(err)
		}
	}
	return b
}

// FuzzApply: whatever a command says, it is refused as unreadable, or it leaves a state that plans
// and can be read again.
func FuzzApply(f *testing.F) {
	b := seeds(f)
	for _, data := range b.store.Log {
		f.Add(data)
	}
	f.Add([]byte{CommandVersion, byte(cmdPlace), '{', '"', 'p', 'l', 'a', 'c', 'e', '"', ':', '{',
		'}', '}'})
	rows := b.store.KV
	f.Fuzz(func(t *testing.T, data []byte) {
		s := New()
		st := newStore(s)
		for k, v := range rows {
			st.KV[k] = v
		}
		must(t, s.Load(st))
		if _, _, err := decodeCommand(data); err != nil {
			defer func() {
				if r := recover(); !strings.Contains(fmt.Sprint(r), "entry 100") {
					t.Errorf("an unreadable command: %v", r)
				}
			}()
		}
		r := s.Apply(st, 100, 2, data, nil).(Result)
		s.Committed()
		if (r.Code == Done) != (r.Err() == nil) {
			t.Errorf("result %+v, %v", r, r.Err())
		}
		again := New()
		must(t, again.Load(st))
		if !same(again, s) {
			t.Error("the rows are not what the view is")
		}
		if p := Plan(s, three); !p.Empty() {
			e := &Editor{State: s, Proposer: st, Now: b.Now}
			st.Index = 100
			must(t, e.Place(ctx, p))
		}
	})
}

// FuzzRows: rows that cannot be read are an error, never a panic; those that can are written again
// as they are read.
func FuzzRows(f *testing.F) {
	b := seeds(f)
	for k, v := range b.store.KV {
		f.Add([]byte(k), []byte(v))
	}
	f.Add(keyCounts, []byte("\x01{\"groups\":18446744073709551615}"))
	f.Fuzz(func(t *testing.T, k, v []byte) {
		s := New()
		st := newStore(s)
		for k, v := range b.store.KV {
			st.KV[k] = v
		}
		st.KV[string(k)] = string(v)
		if s.Load(st) != nil {
			return
		}
		s.Members()
		s.Groups()
		s.Suspensions()
		s.LastPushed()
		for id := range uint16(4) {
			s.Hosts(id)
			s.Placed(id)
			s.HomeOf(id)
		}
	})
}

func FuzzResult(f *testing.F) {
	for _, r := range []Result{{}, {Code: Stale, Words: "the plan was made of an older state"},
		{Index: 9}, {Member: &Member{ID: 3, Name: "mx3", Joined: clockStart}}} {
		f.Add(AppendResult(nil, r))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseResult(b)
		if err != nil {
			return
		}
		once := AppendResult(nil, r)
		again, err := ParseResult(once)
		if err != nil || !bytes.Equal(AppendResult(nil, again), once) {
			t.Errorf("%+v became %+v, %v", r, again, err)
		}
	})
}
