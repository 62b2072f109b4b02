package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/postroad/postroad/cluster/logstore"
)

// The crash test runs the real node on a file system that can be cloned as a power loss would leave
// it, at random points between any two file operations, with a share of the unsynced pages and
// directory entries kept. Every clone must open, hold all that was acknowledged before, whole, and
// nothing by half. Sessions go on from one of the clones, so crashes pile up.
//
//	POSTROAD_CRASHES=10000 go test ./cluster -run Crash      more clones
//	POSTROAD_SEED=17 ...                                     the same run again, as far as scheduling allows
//	go test -tags defect_nosync ./cluster -run Crash         must fail: acknowledged before it is synced

func envInt(name string, otherwise uint64) uint64 {
	if v, err := strconv.ParseUint(os.Getenv(name), 10, 64); err == nil {
		return v
	}
	return otherwise
}

func TestCrash(t *testing.T) {
	want := int(envInt("POSTROAD_CRASHES", 300))
	seed := envInt("POSTROAD_SEED", uint64(time.Now().UnixNano()))
	rng := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	fs, start := vfs.NewCrashableMem(), ledger{}
	var seen logstore.Stats
	for session, checked := 0, 0; checked < want; session++ {
		clones, stats := crashSession(t, fs, start, session, rng)
		seen.Recycled, seen.Moved = seen.Recycled+stats.Recycled, seen.Moved+stats.Moved
		for i, c := range clones {
			if start, fs = c.verify(t, i == len(clones)-1); t.Failed() {
				t.Fatalf("seed %d session %d clone %d, %d %% of unsynced data kept", seed, session,
					i, c.percent)
			}
		}
		checked += len(clones)
		if session%20 == 19 {
			fs, start = vfs.NewCrashableMem(), ledger{}
		}
	}
	if seen.Recycled < 10 || seen.Moved == 0 {
		t.Errorf("the load no longer reaches all of the log: %+v", seen)
	}
}

// fate is what is known of a key.
type fate uint8

const (
	proposed fate = iota + 1
	acked
	dropping
	dropped
)

type ledger map[string]fate

// session is a node under load.
type session struct {
	mu     sync.Mutex
	keys   ledger
	mem    *vfs.MemFS
	rng    *rand.Rand
	ops    int // that write or sync
	next   int // the operation before which to take a clone
	steps  int
	loaded bool // the node is open and load has begun
	clones []clone
}

type clone struct {
	keys    ledger
	fs      *vfs.MemFS
	percent int
}

const (
	clonesPerSession   = 6
	operationsPerClone = 100
	stepsPerSession    = 150
	crashWriters       = 4
)

// crashSession runs load until enough clones are taken.
func crashSession(
	t *testing.T, mem *vfs.MemFS, start ledger, number int, rng *rand.Rand,
) ([]clone, logstore.Stats) {
	s := &session{keys: maps.Clone(start), mem: mem, rng: rand.New(rand.NewPCG(rng.Uint64(), 2)),
		next: rng.IntN(operationsPerClone)}
	n, g, control := openBoth(t, errorfs.Wrap(mem, errorfs.InjectorFunc(s.beforeOperation)))
	s.mu.Lock()
	s.loaded = true
	s.mu.Unlock()
	var writers sync.WaitGroup
	for w := range crashWriters {
		local := rand.New(rand.NewPCG(rng.Uint64(), 1))
		writers.Go(func() {
			for i := 0; !s.full(); i++ {
				s.step(t, g, fmt.Sprintf("s%d.w%d.%d", number, w, i), local)
				if w == 0 && i%50 == 0 {
					propose(t, control, fmt.Sprintf("c%d.%d", number, i), 1)
				}
			}
		})
	}
	writers.Wait()
	closeNode(t, n)
	return s.clones, n.log.Stats()
}

func openBoth(t *testing.T, fs vfs.FS) (*Node, *Group, *Group) {
	t.Helper()
	opts := memOptions(fs)
	opts.GarbageBytes = 1 // move whenever half is garbage
	n, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	g, _ := startGroup(t, n, HomeGroup)
	control, _ := startGroup(t, n, ControlGroup)
	return n, g, control
}

// beforeOperation is called before each operation of the file system.
func (s *session) beforeOperation(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := clonesPerSession
	if !s.loaded {
		limit = 1 // while it starts
	}
	if s.ops++; s.ops <= s.next || len(s.clones) >= limit {
		return nil
	}
	s.next = s.ops + s.rng.IntN(operationsPerClone)
	c := clone{keys: maps.Clone(s.keys), percent: []int{0, 10, 50}[s.rng.IntN(3)]}
	c.fs = s.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: c.percent, RNG: s.rng})
	s.clones = append(s.clones, c)
	return nil
}

func (s *session) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps++
	return len(s.clones) == clonesPerSession && s.steps > stepsPerSession
}

func (s *session) set(key string, f fate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[key] = f
}

// step proposes a key, and mostly drops it again.
func (s *session) step(t *testing.T, g *Group, key string, rng *rand.Rand) {
	s.set(key, proposed)
	propose(t, g, key, rng.IntN(8))
	s.set(key, acked)
	if rng.IntN(10) == 0 {
		return
	}
	s.set(key, dropping)
	if result, err := g.Propose(context.Background(), []byte("-"+key), nil); err != nil ||
		result != nil {
		t.Errorf("drop %s: %v %v", key, result, err)
	}
	s.set(key, dropped)
}

// verify opens a clone and compares it with what was known before it was taken. It returns what the
// next session starts from.
func (c *clone) verify(t *testing.T, keep bool) (ledger, *vfs.MemFS) {
	base := c.fs
	if keep { // opening writes
		c.fs = base.CrashClone(vfs.CrashCloneCfg{})
	}
	n, g, _ := openBoth(t, c.fs)
	defer closeNode(t, n)
	found := ledger{}
	for key, f := range c.keys {
		ok, err := check(g, key)
		switch {
		case err != nil:
			t.Error(err)
		case f == acked && !ok:
			t.Errorf("%s was acknowledged and is lost", key)
		case f == dropped && ok:
			t.Errorf("%s was dropped and is back", key)
		}
		if ok {
			found[key] = acked
		}
	}
	err := g.Scan(nil, nil, func(k, _ []byte) bool {
		if found[string(k)] == 0 {
			t.Errorf("%s is there, but was never proposed", k)
		}
		return true
	})
	if err = errors.Join(err, n.log.Err()); err != nil {
		t.Error(err)
	}
	return found, base
}
