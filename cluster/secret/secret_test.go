package secret

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/postroad/postroad/cluster/control"
	rowstest "github.com/postroad/postroad/internal/testkit/rows"
)

// world is a cluster of keepers over one state.
type world struct {
	t       *testing.T
	state   *control.State
	changes *control.Editor
	now     time.Time
	leader  uint16
	nodes   map[uint16]*Keeper
	sealed  map[string][]byte // the secrets of the state
}

func newWorld(t *testing.T, names ...string) *world {
	t.Helper()
	s := control.New()
	w := &world{t: t, state: s, now: time.Unix(1e9, 0), leader: 1,
		nodes: map[uint16]*Keeper{}, sealed: map[string][]byte{}}
	store := rowstest.New(s)
	store.Answer = func(r any) (any, error) {
		return control.ParseResult(control.AppendResult(nil, r))
	}
	w.changes = &control.Editor{State: s, Proposer: store, Now: func() time.Time { return w.now }}
	for i, name := range names {
		if i == 0 {
			must(t, w.changes.Init(ctx, "c1", []byte("cert"), []byte("key"), node(name, 1)))
			w.start(1)
			continue
		}
		w.join(name)
	}
	return w
}

var ctx = context.Background()

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func node(name string, incarnation uint64) control.Node {
	return control.Node{Name: name, Address: name + ":7025", Incarnation: incarnation,
		Version: "1", Protocol: control.SecretsProtocol}
}

func (w *world) join(name string) uint16 {
	w.t.Helper()
	m, err := w.changes.AddMember(ctx, node(name, uint64(len(w.nodes)+1)))
	must(w.t, err)
	must(w.t, w.changes.Activate(ctx, m.ID))
	w.start(m.ID)
	return m.ID
}

// start gives a member a keeper with a key of its own.
func (w *world) start(id uint16) {
	self, err := NewIdentity()
	must(w.t, err)
	m, _ := w.state.Member(id)
	ring := new(Ring)
	w.nodes[id] = NewKeeper(Options{
		Member: id, Incarnation: m.Incarnation, Identity: self, Ring: ring, State: w.state,
		Changes: w.changes, Leads: func() bool { return w.leader == id }, Logf: w.t.Logf,
		Reseal: func(context.Context) (bool, error) { return w.reseal(ring) },
	})
}

// reseal seals one secret at a time.
func (w *world) reseal(r *Ring) (bool, error) {
	newest, _ := r.Newest()
	for name, b := range w.sealed {
		if e, _ := Epoch(b); e == newest {
			continue
		}
		plain, err := r.Open(name, b)
		if err != nil {
			return false, err
		}
		w.sealed[name], err = r.Seal(name, plain)
		return false, err
	}
	return true, nil
}

// settle makes rounds until nobody has anything to do.
func (w *world) settle() {
	w.t.Helper()
	for quiet, round := 0, 0; quiet < 6; round++ { // some wait for the leader for a while
		quiet++
		for id, k := range w.nodes {
			if m, _ := w.state.Member(id); m.State == control.Removed {
				continue
			}
			if work := k.Round(w.now); work != nil {
				quiet = 0
				if err := work.Do(ctx); err != nil && !errors.Is(err, control.ErrInvalid) {
					w.t.Fatalf("%s: %v", work.What, err)
				}
			}
		}
		if w.now = w.now.Add(time.Second); round == 1000 {
			w.t.Fatal("it does not come to rest")
		}
	}
}

// TestEveryMemberHasTheKey: all members open what one seals, who joins later does too, and who was
// removed does not open what is sealed or was sealed anew afterwards.
func TestEveryMemberHasTheKey(t *testing.T) {
	w := newWorld(t, "a", "b", "c")
	w.settle()
	for i := range 5 {
		name := fmt.Sprintf("s%d", i)
		var err error
		w.sealed[name], err = w.nodes[2].o.Ring.Seal(name, []byte("secret of "+name))
		must(t, err)
	}
	d := w.join("d")
	w.settle()
	opens := func(id uint16) error {
		for name, b := range w.sealed {
			plain, err := w.nodes[id].o.Ring.Open(name, b)
			if err != nil {
				return err
			}
			if string(plain) != "secret of "+name {
				t.Errorf("%s is %q", name, plain)
			}
		}
		return nil
	}
	for id := range w.nodes {
		must(t, opens(id))
	}

	must(t, w.changes.Remove(ctx, 2))
	if !w.state.KeyExposed() {
		t.Error("whoever left knows the key, and nobody sees it")
	}
	w.settle()
	if k := w.state.ClusterKeys(); len(k) != 1 || k[0].Epoch != 2 || w.state.KeyExposed() {
		t.Errorf("after the removal: %d keys, exposed: %t", len(k), w.state.KeyExposed())
	}
	for _, id := range []uint16{1, 3, d} {
		must(t, opens(id))
	}
	w.nodes[2].Round(w.now) // it may still read the state
	if err := opens(2); !errors.Is(err, ErrNoKey) {
		t.Errorf("the removed member opens the secrets: %v", err)
	}
}

// TestLeaderWithoutTheKey: a leader that has no box gets one from another member.
func TestLeaderWithoutTheKey(t *testing.T) {
	w := newWorld(t, "a", "b")
	w.settle()
	id := w.join("c")
	w.leader = id
	w.settle()
	if _, ok := w.nodes[id].o.Ring.Newest(); !ok {
		t.Error("it has no key")
	}
	// a node whose key for secrets was lost gets boxes for the new one
	w.start(1)
	w.settle()
	if _, ok := w.nodes[1].o.Ring.Newest(); !ok {
		t.Error("after its own key was lost it has none")
	}
}

// TestNobodyHasTheKey: where the key is lost there is another one, for what comes.
func TestNobodyHasTheKey(t *testing.T) {
	w := newWorld(t, "a")
	w.settle()
	w.start(1) // its own key is another one now
	w.settle()
	epoch, ok := w.nodes[1].o.Ring.Newest()
	if n := len(w.state.ClusterKeys()); !ok || epoch != 2 || n != 1 {
		t.Errorf("key %d, known: %t, %d in use", epoch, ok, n)
	}
}

// TestSealed: a secret is opened under its own name only, and unchanged.
func TestSealed(t *testing.T) {
	w := newWorld(t, "a")
	r := w.nodes[1].o.Ring
	if _, err := r.Seal("x", nil); !errors.Is(err, ErrNoKey) {
		t.Errorf("sealed without a key: %v", err)
	}
	w.settle()
	b, err := r.Seal("dkim a.example/s1", []byte("text"))
	must(t, err)
	if bytes.Contains(b, []byte("text")) {
		t.Error("it can be read")
	}
	if _, err := r.Open("dkim b.example/s1", b); !errors.Is(err, ErrSealed) {
		t.Errorf("opened in another's place: %v", err)
	}
	for i := range b {
		c := bytes.Clone(b)
		c[i] ^= 1
		if _, err := r.Open("dkim a.example/s1", c); err == nil {
			t.Errorf("opened with octet %d changed", i)
		}
	}
}

// FuzzOpen: whatever a row has, it is opened or refused.
func FuzzOpen(f *testing.F) {
	r := &Ring{keys: map[uint64]ringKey{1: newRingKey(make([]byte, KeyLen))}, newest: 1}
	b, err := r.Seal("x", []byte("text"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{sealedVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		if plain, err := r.Open("x", b); err == nil && string(plain) != "text" {
			t.Errorf("%x gives %q", b, plain)
		}
	})
}

// TestIdentityFile: the key stays the same, nobody else may read it, and a damaged one is told of.
func TestIdentityFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seal.key")
	first, err := OpenIdentity(path)
	must(t, err)
	again, err := OpenIdentity(path)
	must(t, err)
	if first.Public() != again.Public() {
		t.Error("another key at the second start")
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	must(t, os.WriteFile(path, []byte("short"), 0o600))
	if _, err := OpenIdentity(path); err == nil {
		t.Error("a damaged key is taken")
	}
}
