package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/postroad/postroad/cluster/logstore"
	"github.com/postroad/postroad/internal/rows"
)

// apply is a state machine made of a function.
type apply func(w rows.ContentWriter, index uint64, data []byte, parts [][]byte) any

func (a apply) Apply(w rows.ContentWriter, index, _ uint64, data []byte, parts [][]byte) any {
	return a(w, index, data, parts)
}
func (apply) Committed() {}

// startWith opens a node with one leading group that runs sm.
func startWith(t testing.TB, opts Options, sm StateMachine) (*Node, *Group) {
	t.Helper()
	n, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	g, led := n.Group(HomeGroup), make(chan uint64, 8)
	if err := g.Start(sm, func(term uint64) { led <- term }); err != nil {
		t.Fatal(err)
	}
	<-led
	return n, g
}

// Writer against a model: every Get in the middle of a batch sees all before it.
func TestWriterReadsItsWrites(t *testing.T) {
	model := map[string]string{}
	rng := rand.New(rand.NewPCG(3, 4))
	step := func(w rows.ContentWriter) string {
		key := fmt.Sprint(rng.IntN(300))
		switch n := rng.IntN(100); {
		case n < 40:
			model[key] = fmt.Sprint(rng.Uint32())
			w.Set([]byte(key), []byte(model[key]))
		case n < 60:
			delete(model, key)
			w.Delete([]byte(key))
		case n < 61:
			to := key + "~"
			maps.DeleteFunc(model, func(k, _ string) bool { return key <= k && k < to })
			w.DeleteRange([]byte(key), []byte(to))
		default:
			v, ok := w.Get([]byte(key))
			if want, has := model[key]; ok != has || string(v) != want {
				return fmt.Sprintf("%s: got %q %v, want %q %v", key, v, ok, want, has)
			}
		}
		return ""
	}
	n, g := startWith(t, memOptions(vfs.NewMem()),
		apply(func(w rows.ContentWriter, _ uint64, _ []byte, _ [][]byte) any {
			for range 3000 {
				if complaint := step(w); complaint != "" {
					return complaint
				}
			}
			return nil
		}))
	defer closeNode(t, n)
	for range 10 {
		if result, err := g.Propose(context.Background(), []byte("go"), nil); result != nil ||
			err != nil {
			t.Fatal(result, err)
		}
		var keys []string
		err := g.Scan(nil, nil, func(k, v []byte) bool {
			if keys = append(keys, string(k)); model[string(k)] != string(v) {
				t.Errorf("%s: %q, want %q", k, v, model[string(k)])
			}
			return true
		})
		if want := slices.Sorted(maps.Keys(model)); err != nil || !slices.Equal(keys, want) {
			t.Fatalf("%v: %d keys, want %d", err, len(keys), len(want))
		}
	}
}

func TestScanBounds(t *testing.T) {
	n, g := startWith(t, memOptions(vfs.NewMem()),
		apply(func(w rows.ContentWriter, _ uint64, data []byte, _ [][]byte) any {
			w.Set(data, data)
			return nil
		}))
	defer closeNode(t, n)
	other, _ := startGroup(t, n, ControlGroup)
	propose(t, other, "b", 0) // must not be seen
	for _, k := range []string{"a", "b", "c", "d"} {
		propose(t, g, k, 0)
	}
	for _, c := range []struct{ from, to, want string }{{"", "", "abcd"}, {"b", "", "bcd"},
		{"b", "d", "bc"}, {"c", "c", ""}} {
		var to []byte
		if c.to != "" {
			to = []byte(c.to)
		}
		var got []byte
		if err := g.Scan([]byte(c.from), to, func(k, _ []byte) bool {
			got = append(got, k...)
			return true
		}); err != nil {
			t.Fatal(err)
		}
		if string(got) != c.want {
			t.Errorf("[%s, %s): %s, want %s", c.from, c.to, got, c.want)
		}
	}
	if _, ok, err := g.Get([]byte("x")); ok || err != nil {
		t.Errorf("missing row: %v %v", ok, err)
	}
}

// The leader's state machine gets the proposer's own slices; after a restart it gets fresh ones
// with the same octets.
func TestPartsAreNotCopied(t *testing.T) {
	fs := vfs.NewMem()
	part := []byte("part")
	n, g := startWith(t, memOptions(fs),
		apply(func(_ rows.ContentWriter, _ uint64, _ []byte, parts [][]byte) any {
			return &parts[0][0] == &part[0]
		}))
	if same, err := g.Propose(context.Background(), []byte("k"), [][]byte{part}); same != true ||
		err != nil {
		t.Errorf("%v, %v", same, err)
	}
	closeNode(t, n)
}

// A part is there as long as it is kept or its entry is in the log, and no longer.
func TestDroppedPartIsGone(t *testing.T) {
	n, g, _ := start(t, memOptions(vfs.NewMem()))
	defer closeNode(t, n)
	index, err := g.Propose(context.Background(), []byte("k"), contents("k", 3))
	if err != nil {
		t.Fatal(err)
	}
	at := index.(uint64)
	if _, err := g.ReadPart(nil, at, 3); !errors.Is(err, ErrNoPart) {
		t.Errorf("part that never was: %v", err)
	}
	propose(t, g, "-k", 0)
	if err := errors.Join(g.mark(true, 0), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := g.ReadPart(nil, at, 1); !errors.Is(err, ErrNoPart) {
		t.Errorf("dropped part: %v", err)
	}
}

// Content that stays while all around it goes is moved, so that the disk does not fill with almost
// empty segments.
func TestGarbageIsCollected(t *testing.T) {
	opts := memOptions(vfs.NewMem())
	opts.GarbageBytes = 2 * opts.SegmentSize
	n, g, _ := start(t, opts)
	for i := range 3000 {
		propose(t, g, fmt.Sprint("k", i), 3)
		if i%50 != 0 {
			propose(t, g, fmt.Sprint("-k", i), 0)
		}
	}
	n.compactor.pass()
	st := n.Stats().Log
	if st.Moved == 0 || st.Recycled == 0 {
		t.Errorf("%+v", st)
	}
	used := int64(st.Segments-st.Emptied) * opts.SegmentSize
	if limit := 2*st.LiveParts + opts.GarbageBytes + 2*opts.SegmentSize; used > limit {
		t.Errorf("%d octets in use, at most %d expected: %+v", used, limit, st)
	}
	closeNode(t, n)
	n, g, _ = start(t, opts)
	defer closeNode(t, n)
	if again := n.Stats().Log.LiveParts; again != st.LiveParts {
		t.Errorf("%d octets alive after a restart, %d before", again, st.LiveParts)
	}
	for i := 0; i < 3000; i += 50 {
		if ok, err := check(g, fmt.Sprint("k", i)); !ok || err != nil {
			t.Errorf("k%d: %v %v", i, ok, err)
		}
	}
}

// An idle group's last entries do not hold back the log.
func TestIdleGroupDoesNotPinTheLog(t *testing.T) {
	n, g, _ := start(t, memOptions(vfs.NewMem()))
	defer closeNode(t, n)
	startGroup(t, n, ControlGroup)
	for i := range 6000 {
		propose(t, g, fmt.Sprint("k", i), 3)
		propose(t, g, fmt.Sprint("-k", i), 0)
	}
	n.compactor.pass()
	if st := n.Stats().Log; st.Segments > idleSegments+2 || st.Recycled < 20 {
		t.Errorf("%+v", st)
	}
}

// After a failed write or sync nothing is acknowledged, and the failure is reported once.
func TestDiskFailure(t *testing.T) {
	for _, kind := range []errorfs.OpKind{errorfs.OpFileWriteAt, errorfs.OpFileSyncData} {
		t.Run(fmt.Sprint(kind), func(t *testing.T) {
			var broken atomic.Bool
			base := vfs.NewCrashableMem()
			opts := memOptions(errorfs.Wrap(base, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if broken.Load() && op.Kind == kind && strings.HasSuffix(op.Path, ".seg") &&
					broken.CompareAndSwap(true, false) {
					return errorfs.ErrInjected
				}
				return nil
			})))
			var failures atomic.Int32
			opts.OnFailure = func(error) { failures.Add(1) }
			opts.ProposeTimeout = time.Second
			n, g, _ := start(t, opts)
			propose(t, g, "before", 2)
			broken.Store(true)
			for i := range 5 {
				if _, err := g.Propose(context.Background(), []byte(fmt.Sprint("after", i)),
					nil); err == nil {
					t.Errorf("proposal %d acknowledged after the failure", i)
				}
			}
			if failures.Load() != 1 {
				t.Errorf("%d failures reported", failures.Load())
			}
			n.Close()
			n, g, _ = start(t, memOptions(base.CrashClone(vfs.CrashCloneCfg{})))
			defer closeNode(t, n)
			if ok, err := check(g, "before"); !ok || err != nil {
				t.Errorf("before: %v %v", ok, err)
			}
		})
	}
}

// Pebble goes on after a fatal error unless its logger does not return. The goroutine that met it
// is lost; Close must come back all the same.
func TestStateFailure(t *testing.T) {
	var broken atomic.Bool
	opts := memOptions(errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite &&
			strings.Contains(op.Path, "/state/") {
			return errorfs.ErrInjected
		}
		return nil
	})))
	failed := make(chan error, 1)
	opts.OnFailure = func(err error) { failed <- err }
	n, g, _ := start(t, opts)
	propose(t, g, "k", 1)
	broken.Store(true)
	go g.mark(false, 0) // may never return
	if err := <-failed; !errors.Is(err, errorfs.ErrInjected) &&
		!strings.Contains(err.Error(), "injected") {
		t.Errorf("reported: %v", err)
	}
	n.Close()
}

// A node whose Pebble was lost, or is older than its marker says, does not start.
func TestLostStateIsRefused(t *testing.T) {
	fs := vfs.NewMem()
	n, g, _ := start(t, memOptions(fs))
	propose(t, g, "k", 1)
	if err := g.mark(false, 0); err != nil {
		t.Fatal(err)
	}
	closeNode(t, n)
	if err := fs.RemoveAll("node/state"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(memOptions(fs)); !errors.Is(err, logstore.ErrLost) {
		t.Errorf("opened without its state: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	opts := memOptions(vfs.NewMem())
	opts.InFlight, opts.ProposeTimeout = 1, 50*time.Millisecond
	held, release := make(chan struct{}), make(chan struct{})
	n, g := startWith(t, opts,
		apply(func(_ rows.ContentWriter, _ uint64, data []byte, _ [][]byte) any {
			if bytes.Equal(data, []byte("hold")) {
				close(held)
				<-release
			}
			return nil
		}))
	unstarted := n.Group(99)
	if _, err := unstarted.Propose(context.Background(), nil, nil); !errors.Is(err, ErrRefused) {
		t.Errorf("not leading: %v", err)
	}
	if _, err := g.Propose(context.Background(), []byte("hold"), nil); err == nil ||
		errors.Is(err, ErrRefused) {
		t.Errorf("under way at the time-out: %v", err) // unknown
	}
	<-held
	if _, err := g.Propose(context.Background(), []byte("next"), nil); !errors.Is(err, ErrRefused) {
		t.Errorf("all slots taken: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := g.Propose(ctx, []byte("next"), nil); !errors.Is(err, ErrRefused) {
		t.Errorf("canceled before it was enqueued: %v", err)
	}
	close(release)
	closeNode(t, n)
	if _, err := g.Propose(context.Background(), nil, nil); !errors.Is(err, ErrRefused) {
		t.Errorf("after Close: %v", err)
	}
}

func TestLeadershipIsToldOnceTheStateIsCurrent(t *testing.T) {
	fs := vfs.NewMem()
	n, g, _ := start(t, memOptions(fs))
	propose(t, g, "k", 1)
	applied, term := g.AppliedIndex(), g.Leading()
	closeNode(t, n)
	n, err := Open(memOptions(fs))
	if err != nil {
		t.Fatal(err)
	}
	defer closeNode(t, n)
	g = n.Group(HomeGroup)
	if ok, err := check(g, "k"); !ok || err != nil {
		t.Errorf("not readable before Start: %v %v", ok, err)
	}
	led := make(chan uint64, 1)
	began := time.Now()
	if err := g.Start(&toy{}, func(term uint64) { led <- term }); err != nil {
		t.Fatal(err)
	}
	if got := <-led; got <= term || g.AppliedIndex() < applied {
		t.Errorf("term %d after %d, applied %d of %d", got, term, g.AppliedIndex(), applied)
	}
	if took := time.Since(began); took > 900*time.Millisecond {
		t.Errorf("a sole voter waited %v for its election time-out", took)
	}
	if err := g.Barrier(context.Background()); err != nil {
		t.Error(err)
	}
}

func FuzzMarker(f *testing.F) {
	m := marker{index: 7, term: 2, configIndex: 1, applied: 6, configuration: []byte("c")}
	f.Add(m.encode())
	f.Add([]byte{markerVersion})
	f.Fuzz(func(t *testing.T, p []byte) {
		if m, err := decodeMarker(p); err == nil && !bytes.Equal(m.encode(), p) {
			t.Error("does not encode to what was read")
		}
	})
}
