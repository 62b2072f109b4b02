package control

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// refused fails the test unless err is a refusal of that kind with those words.
func refused(t *testing.T, err, kind error, words string) {
	t.Helper()
	if !errors.Is(err, ErrInvalid) || !errors.Is(err, kind) ||
		!strings.Contains(fmt.Sprint(err), words) {
		t.Errorf("got %v; want a refusal (%v) with %q", err, kind, words)
	}
}

func TestInit(t *testing.T) {
	b := newBench(t)
	if _, ok := b.State.Cluster(); ok || b.State.Version() != 0 || len(b.State.Groups()) != 0 ||
		!Plan(b.State, Policy{}).Empty() {
		t.Fatal("an empty state has something")
	}
	refused(t, b.Drain(ctx, 1), ErrInvalid, "cluster init")
	n := b.node("mx1")
	must(t, b.Init(ctx, "c1", []byte("cert"), []byte("key"), n))
	must(t, b.Init(ctx, "c2", []byte("other"), []byte("other"), n)) // again, as after a lost answer
	refused(t, b.Init(ctx, "c2", []byte("other"), []byte("other"), b.node("mx2")), ErrExists,
		"cluster c1 already")

	id, _ := b.State.Cluster()
	cert, key := b.State.Authority()
	if id != "c1" || string(cert) != "cert" || string(key) != "key" {
		t.Fatalf("cluster %s, %s, %s", id, cert, key)
	}
	want := []Member{{ID: 1, Name: "mx1", Address: "mx1:7025", Incarnation: n.Incarnation,
		State: Active, Joined: clockStart, Version: "1.0", Protocol: 1}}
	if got := b.State.Members(); !reflect.DeepEqual(got, want) {
		t.Errorf("members %+v", got)
	}
	one := []uint16{1}
	groups := []Group{
		{ID: 1, Kind: KindControl, State: GroupServing, Voters: one, Plan: 2,
			Observed: Configuration{Voters: one, Plan: 2}},
		{ID: 2, Kind: KindQueue, Home: 1, State: GroupNew, Voters: one, Plan: 2},
	}
	if got := b.State.Groups(); !reflect.DeepEqual(got, groups) {
		t.Errorf("groups %+v", got)
	}
	if g, ok := b.State.HomeOf(1); g != 2 || !ok {
		t.Errorf("the home group is %d", g)
	}
	must(t, b.Bootstrapped(ctx, 2))
	if !Plan(b.State, Policy{Replicas: 3}).Empty() {
		t.Error("a node alone has something to plan")
	}
}

func TestJoin(t *testing.T) {
	b := newBench(t)
	b.members("mx1")
	n := b.node("mx2")
	first, err := b.AddMember(ctx, n)
	must(t, err)
	again, err := b.AddMember(ctx, n)
	must(t, err)
	if first != again || first.ID != 2 || first.State != Joining {
		t.Fatalf("first %+v, again %+v", first, again)
	}
	if !Plan(b.State, Policy{}).Empty() {
		t.Error("a member that was never seen gets places")
	}
	refused(t, b.Drain(ctx, 2), ErrInvalid, "remove it")

	// It never ran: the machine was set up anew, and the second try takes the name over.
	third, err := b.AddMember(ctx, b.node("mx2"))
	must(t, err)
	if old, _ := b.State.Member(2); third.ID != 3 || old.State != Removed {
		t.Fatalf("third %+v, old %+v", third, old)
	}
	must(t, b.Activate(ctx, 3))
	must(t, b.Activate(ctx, 3))
	_, err = b.AddMember(ctx, b.node("mx2"))
	refused(t, err, ErrExists, "postroad cluster replace mx2 NEW")
	_, err = b.AddMember(ctx, n)
	refused(t, err, ErrInvalid, "empty it and join again")
	copied := n
	copied.Name, copied.Incarnation = "mx9", third.Incarnation
	_, err = b.AddMember(ctx, copied)
	refused(t, err, ErrExists, "copied data directory")
	refused(t, b.Activate(ctx, 2), ErrInvalid, "was removed")
	err = b.State.Admit(2, n.Incarnation, "")
	if err == nil || !strings.Contains(err.Error(), "has joined as mx2 since (member 3)") {
		t.Errorf("the first to join is told: %v", err)
	}
	refused(t, b.Activate(ctx, 9), ErrUnknown, "no member 9")

	for _, bad := range []Node{{Name: "", Address: "a:1", Incarnation: 9},
		{Name: "7", Address: "a:1", Incarnation: 9}, {Name: "a b", Address: "a:1", Incarnation: 9},
		{Name: strings.Repeat("a", 65), Address: "a:1", Incarnation: 9},
		{Name: "a", Address: "a", Incarnation: 9}, {Name: "a", Address: "a:1"},
		{Name: "a", Incarnation: 9}} {
		before := len(b.store.Log)
		if _, err := b.AddMember(ctx, bad); err == nil || len(b.store.Log) != before {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestTooManyMembers(t *testing.T) {
	b := newBench(t)
	b.members("mx0")
	for i := 1; i < MaxMembers; i++ {
		_, err := b.AddMember(ctx, b.node(fmt.Sprint("mx", i)))
		must(t, err)
	}
	_, err := b.AddMember(ctx, b.node("one-more"))
	refused(t, err, ErrFull, "at most 256")
	must(t, b.Remove(ctx, 17))
	_, err = b.AddMember(ctx, b.node("one-more"))
	must(t, err)
}

func TestProtocol(t *testing.T) {
	b := newBench(t)
	b.members("mx1", "mx2")
	must(t, b.SetVersion(ctx, 1, "2.0", 3))
	if b.State.MinProtocol() != 1 {
		t.Fatalf("protocol %d while mx2 is old", b.State.MinProtocol())
	}
	must(t, b.SetVersion(ctx, 2, "1.5", 2))
	if b.State.MinProtocol() != 2 {
		t.Fatalf("protocol %d", b.State.MinProtocol())
	}
	refused(t, b.SetVersion(ctx, 1, "1.0", 1), ErrInvalid, "start a newer version")
	_, err := b.AddMember(ctx, b.node("mx3"))
	refused(t, err, ErrInvalid, "upgrade it, then join")
	must(t, b.Remove(ctx, 2)) // the control group has one voter in this test, and it is not mx2
	if b.State.MinProtocol() != 3 {
		t.Fatalf("protocol %d after the older one is gone", b.State.MinProtocol())
	}
}

func TestAddresses(t *testing.T) {
	b := newBench(t)
	b.members("mx1", "mx2")
	version := b.State.Version()
	must(t, b.SetAddress(ctx, 2, "mx2:7025"))
	if b.State.Version() != version {
		t.Error("nothing changed, but the version did")
	}
	must(t, b.SetAddress(ctx, 2, "[2001:db8::2]:7025"))
	if m, ok := b.State.MemberByName("mx2"); !ok || m.Address != "[2001:db8::2]:7025" {
		t.Errorf("mx2 is %+v", m)
	}
	if err := b.SetAddress(ctx, 2, "nowhere"); err == nil {
		t.Error("an address without a port")
	}
}

func TestTokens(t *testing.T) {
	b := newBench(t)
	b.members("mx1")
	secret, err := b.AddToken(ctx, time.Hour, 0)
	must(t, err)
	must(t, b.AddSecret(ctx, "a-secret-of-a-file", 0))
	must(t, b.AddSecret(ctx, "a-secret-of-a-file", 0))
	both := []string{secret[:8], "a-secret"}
	if got := begin(b.State.TokenList(b.now)); !slices.Equal(got, both) {
		t.Fatalf("tokens %v", got)
	}
	b.now = b.now.Add(time.Hour)
	if got := begin(b.State.TokenList(b.now)); !slices.Equal(got, []string{"a-secret"}) {
		t.Fatalf("tokens %v after an hour", got)
	}
	refused(t, b.DropToken(ctx, secret), ErrUnknown, "expired")
	must(t, b.DropToken(ctx, "a-secret-of-a-file"))
	if got := b.State.TokenList(clockStart); len(got) != 0 {
		t.Fatalf("tokens %v: the expired one must be gone from the rows", got)
	}
	for range maxTokens {
		_, err := b.AddToken(ctx, time.Hour, 0)
		must(t, err)
	}
	_, err = b.AddToken(ctx, time.Hour, 0)
	refused(t, err, ErrFull, "wait until one expires")
	b.now = b.now.Add(time.Hour)
	_, err = b.AddToken(ctx, time.Hour, 0)
	must(t, err)
	if err := b.AddSecret(ctx, "short", 0); err == nil {
		t.Error("a secret that can be guessed")
	}
}

func TestAdmit(t *testing.T) {
	b := newBench(t)
	must(t, b.State.Admit(1, 77, "")) // nothing is known yet: the certificate vouches
	b.members("mx1", "mx2")
	m, _ := b.State.Member(2)
	must(t, b.State.Admit(2, m.Incarnation, ""))
	must(t, b.State.Admit(3, 99, "")) // joined while this node was away
	for _, c := range []struct {
		member      uint16
		incarnation uint64
		words       string
	}{{0, 1, "no member 0"}, {2, 99, "postroad cluster replace mx2 NEW"}} {
		if err := b.State.Admit(c.member, c.incarnation, ""); err == nil ||
			!strings.Contains(err.Error(), c.words) {
			t.Errorf("member %d, incarnation %d: %v", c.member, c.incarnation, err)
		}
	}
	must(t, b.Remove(ctx, 2))
	if err := b.State.Admit(2, m.Incarnation, ""); err == nil ||
		!strings.Contains(err.Error(), "was removed") {
		t.Errorf("a removed member: %v", err)
	}
}

// TestRestart: a state made of the rows is the one that wrote them, in the view and for Apply.
func TestRestart(t *testing.T) {
	b := newBench(t)
	b.members("mx1", "mx2", "mx3")
	b.settle(Policy{Replicas: 3})
	_, err := b.AddToken(ctx, 0, 0)
	must(t, err)

	again := New()
	must(t, again.Load(b.store))
	if !same(again, b.State) {
		t.Fatalf("loaded %+v\nhad %+v", again.view.Load(), b.State.view.Load())
	}
	select {
	case <-again.Changed():
	default:
		t.Error("loading is a change")
	}
	b.store.Machine, b.State = again, again
	must(t, b.Drain(ctx, 3))
	if m, _ := again.Member(3); m.State != Draining || again.Version() != b.store.Index {
		t.Errorf("after the restart: %+v, version %d of %d", m, again.Version(), b.store.Index)
	}
}

// TestPublishedWhenStored: what Apply did is seen only after Committed.
func TestPublishedWhenStored(t *testing.T) {
	b := newBench(t)
	b.members("mx1")
	<-b.State.Changed()
	b.store.Held = true
	_, err := b.AddMember(ctx, b.node("mx2"))
	must(t, err)
	must(t, b.Activate(ctx, 2)) // it sees the rows of the same batch
	if len(b.State.Members()) != 1 || len(b.State.Changed()) != 0 {
		t.Fatal("a reader sees what a crash could take back")
	}
	b.State.Committed()
	if m, ok := b.State.Member(2); !ok || m.State != Active || len(b.State.Changed()) != 1 {
		t.Fatalf("after Committed: %+v", m)
	}
	if version := b.State.Version(); version != b.store.Index {
		t.Errorf("version %d, index %d", version, b.store.Index)
	}
}

func TestRestored(t *testing.T) {
	b, other := newBench(t), newBench(t)
	b.members("mx1")
	must(t, b.State.Load(b.store))
	other.members("mx1", "mx2", "mx3")
	other.settle(Policy{Replicas: 3})
	b.store.KV = other.store.KV
	b.State.Restored()
	if !same(b.State, other.State) {
		t.Fatal("the rows were replaced, the view was not")
	}
	b.store.Index = other.store.Index
	must(t, b.Drain(ctx, 3)) // Apply knows it too

	b.store.KV[string(keyTokens)] = "\x02{}"
	defer func() {
		if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), "too old") {
			t.Errorf("rows of a newer version: %v", r)
		}
	}()
	b.State.Restored()
}

// TestReplay: the log makes the same rows on every member, whether it is applied at once or in
// parts.
func TestReplay(t *testing.T) {
	b := newBench(t)
	b.members("mx1", "mx2", "mx3", "mx4")
	b.settle(Policy{Replicas: 3})
	must(t, b.Drain(ctx, 4))
	b.settle(Policy{Replicas: 3})
	other := newStore(New())
	for i, data := range b.store.Log {
		if i%5 == 0 {
			other.Machine = New()
		}
		other.Machine.Apply(other, uint64(i+1), 1, data, nil)
	}
	if !reflect.DeepEqual(other.KV, b.store.KV) {
		t.Fatal("two members have different rows")
	}
}

// TestUnknownCommands: a member that skips a command is a member that diverges.
func TestUnknownCommands(t *testing.T) {
	good, err := encodeCommand(cmdDrain, &command{At: clockStart, Member: 1})
	must(t, err)
	newer := bytes.Clone(good)
	newer[0]++
	for name, data := range map[string][]byte{
		"empty": nil, "no type": {CommandVersion}, "newer version": newer,
		"type 0":       {CommandVersion, 0, '{', '}'},
		"newer type":   append([]byte{CommandVersion, byte(newestCommand)}, good[2:]...),
		"no JSON":      {CommandVersion, byte(cmdDrain), 'x'},
		"no arguments": {CommandVersion, byte(cmdPlace), '{', '}'},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			defer func() {
				if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), "entry 42") {
					t.Errorf("recovered %v", r)
				}
			}()
			b.State.Apply(b.store, 42, 1, data, nil)
		})
	}
	for kind := cmdInit; kind < newestCommand; kind++ {
		if handlers[kind] == nil {
			t.Errorf("nothing applies commands of type %d", kind)
		}
	}
}

func TestResultsSayTheirKind(t *testing.T) {
	for code, err := range causes {
		r, e := ParseResult(AppendResult(nil, Result{Code: code, Words: "because"}))
		must(t, e)
		refused(t, r.(Result).Err(), err, "because")
	}
	if err := (Result{Code: 99, Words: "new words"}).Err(); !errors.Is(err, ErrInvalid) {
		t.Errorf("a code of a newer version: %v", err)
	}
}
