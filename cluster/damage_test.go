package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/postroad/postroad/cluster/logstore"
)

// TestDamageAlone spoils the data of a node without others, as a kill left them, in one place each
// time: a bit, the end of a file, a whole file. It starts and has all, or it says that it has lost
// something. The high-water mark has followed the last block. POSTROAD_LONG=1: 500 times.
func TestDamageAlone(t *testing.T) {
	times := 25
	if os.Getenv("POSTROAD_LONG") != "" {
		times = 500
	}
	const keys = 300
	whole := killedAlone(t, keys)
	seed := uint64(1)
	rng := rand.New(rand.NewPCG(seed, 0))
	outcomes := map[string]int{}
	for i := range times {
		dir := filepath.Join(t.TempDir(), "node")
		if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		what := spoil(t, dir, rng)
		outcome, err := startAlone(dir, keys)
		outcomes[outcome]++
		if outcome != "complete" && outcome != "refused" {
			t.Errorf("seed %d, case %d: %s: %s: %v", seed, i, what, outcome, err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%v", outcomes)
}

func aloneOptions(dir string, failed func(error)) Options {
	return Options{
		Dir:              dir,
		SegmentSize:      1 << 20,
		MarkerBytes:      64 << 10,
		MarkerEntries:    50,
		HeartbeatTimeout: 100 * time.Millisecond,
		OnFailure:        failed,
	}
}

// killedAlone returns the data of a node as a kill leaves them.
func killedAlone(t *testing.T, keys int) string {
	t.Helper()
	dir, killed := filepath.Join(t.TempDir(), "node"), filepath.Join(t.TempDir(), "killed")
	n, err := Open(aloneOptions(dir, func(err error) { panic(err) }))
	if err != nil {
		t.Fatal(err)
	}
	g, err := leadAlone(n)
	if err != nil {
		t.Fatal(err)
	}
	for i := range keys {
		key := fmt.Sprintf("key%05d", i)
		if _, err := g.Propose(context.Background(), []byte(key), contents(key, i%3)); err != nil {
			t.Fatal(err)
		}
	}
	n.compactor.halt() // so that nothing changes while it is copied
	if err := errors.Join(n.log.Mark(), os.CopyFS(killed, os.DirFS(dir)), n.Close()); err != nil {
		t.Fatal(err)
	}
	return killed
}

func leadAlone(n *Node) (*Group, error) {
	g := n.Group(HomeGroup)
	leads := make(chan struct{}, 1)
	err := g.Start(&toy{}, func(term uint64) {
		if term != 0 {
			leads <- struct{}{}
		}
	})
	if err != nil {
		return nil, err
	}
	select {
	case <-leads:
		return g, nil
	case <-n.failing:
		return nil, errors.New("failed")
	}
}

// startAlone starts a node and looks for all keys.
func startAlone(dir string, keys int) (outcome string, err error) {
	failures := make(chan error, 1)
	n, err := Open(aloneOptions(dir, func(err error) { failures <- err }))
	if err != nil {
		return refusal(err), err
	}
	defer n.Close()
	g, err := leadAlone(n)
	if err != nil {
		select {
		case err = <-failures:
		default:
		}
		return refusal(err), err
	}
	for i := range keys {
		key := fmt.Sprintf("key%05d", i)
		v, ok, err := g.Get([]byte(key))
		if err != nil {
			return refusal(err), err
		}
		if !ok {
			return "lost without a word", errors.New(key)
		}
		for part := range int(v[8]) {
			got, err := g.ReadPart(nil, be64(v), part)
			if err != nil {
				return "refused", err // who reads it is told
			}
			if !bytes.Equal(got, content(key, part)) {
				return "wrong content", errors.New(key)
			}
		}
	}
	return "complete", nil
}

func refusal(err error) string {
	if errors.Is(err, ErrLost) || errors.Is(err, logstore.ErrCorrupt) ||
		pebble.IsCorruptionError(err) {
		return "refused"
	}
	return "refused in other words"
}

// spoil damages one file, kinds of files being equally likely.
func spoil(t *testing.T, dir string, rng *rand.Rand) string {
	t.Helper()
	kinds := map[string][]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			kind := filepath.Dir(name) + filepath.Ext(name)
			kinds[kind] = append(kinds[kind], name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for kind := range kinds {
		all = append(all, kind)
	}
	slices.Sort(all)
	files := kinds[all[rng.IntN(len(all))]]
	name := files[rng.IntN(len(files))]
	if rng.IntN(2) == 0 {
		name = files[len(files)-1]
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	written := max(1, len(bytes.TrimRight(b, "\x00")))
	at := rng.IntN(written)
	if rng.IntN(2) == 0 {
		at = max(0, written-1-rng.IntN(min(written, 4096)))
	}
	rel, _ := filepath.Rel(dir, name)
	switch kind := rng.IntN(5); {
	case kind < 2 && len(b) > 0:
		b[at] ^= 1 << rng.IntN(8)
		err = os.WriteFile(name, b, 0o600)
		rel = fmt.Sprintf("a bit of octet %d of %d of %s", at, written, rel)
	case kind == 2:
		err = os.Truncate(name, int64(at))
		rel = fmt.Sprintf("%s cut off at %d of %d", rel, at, written)
	case kind == 3:
		err = os.Truncate(name, 0)
		rel += " emptied"
	default:
		err = os.Remove(name)
		rel += " removed"
	}
	if err != nil {
		t.Fatal(err)
	}
	return rel
}
