package cluster

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postroad/postroad/internal/rows"
)

// toy is a state machine that keeps each command under its data as key, with a reference to each of
// its parts. A command "-KEY" drops KEY.
type toy struct {
	mu        sync.Mutex
	applied   int
	committed int
}

func (t *toy) Apply(w rows.ContentWriter, index, term uint64, data []byte, parts [][]byte) any {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.applied++
	if len(data) > 0 && data[0] == '-' {
		v, ok := w.Get(data[1:])
		if !ok {
			return errors.New("not there")
		}
		at := binary.BigEndian.Uint64(v)
		for i := range int(v[8]) {
			w.DropPart(at, i)
		}
		w.Delete(data[1:])
		return nil
	}
	v := append(binary.BigEndian.AppendUint64(nil, index), byte(len(parts)))
	w.Set(data, v)
	for i := range parts {
		w.KeepPart(index, i)
	}
	return index
}

func (t *toy) Committed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.committed = t.applied
}

// content is what the parts of a key hold.
func content(key string, part int) []byte {
	n := 100 + 1000*part + len(key)
	return bytes.Repeat([]byte(fmt.Sprintf("%s/%d.", key, part)), n)[:n]
}

func contents(key string, n int) (parts [][]byte) {
	for i := range n {
		parts = append(parts, content(key, i))
	}
	return parts
}

// start opens a node with one leading group.
func start(t testing.TB, opts Options) (*Node, *Group, *toy) {
	t.Helper()
	n, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	g, sm := startGroup(t, n, HomeGroup)
	return n, g, sm
}

func startGroup(t testing.TB, n *Node, id uint64) (*Group, *toy) {
	t.Helper()
	g, sm := n.Group(id), &toy{}
	led := make(chan uint64, 8)
	if err := g.Start(sm, func(term uint64) { led <- term }); err != nil {
		t.Fatal(err)
	}
	select {
	case <-led:
	case <-time.After(2 * time.Minute): // machines that run tests are at times suspended
		t.Fatal("no leader")
	}
	return g, sm
}

func closeNode(t testing.TB, n *Node) {
	t.Helper()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}

func memOptions(fs vfs.FS) Options {
	return Options{Dir: "node", FS: fs, SegmentSize: 256 << 10, RingSize: 64 << 10,
		MarkerBytes: 128 << 10, ProposeTimeout: 5 * time.Minute}
}

// check reports whether key is there whole.
func check(g *Group, key string) (found bool, err error) {
	v, ok, err := g.Get([]byte(key))
	if err != nil || !ok {
		return false, err
	}
	for i := range int(v[8]) {
		p, err := g.ReadPart(nil, binary.BigEndian.Uint64(v), i)
		if err != nil {
			return true, fmt.Errorf("part %d of %s: %w", i, key, err)
		}
		if !bytes.Equal(p, content(key, i)) {
			return true, fmt.Errorf("part %d of %s differs", i, key)
		}
	}
	return true, nil
}

func propose(t testing.TB, g *Group, key string, parts int) {
	t.Helper()
	if _, err := g.Propose(context.Background(), []byte(key), contents(key, parts)); err != nil {
		t.Fatal(err)
	}
}

func TestRestartKeepsEverything(t *testing.T) {
	fs := vfs.NewMem()
	n, g, sm := start(t, memOptions(fs))
	for i := range 200 {
		propose(t, g, fmt.Sprint("k", i), i%4)
	}
	if sm.committed != 200 {
		t.Fatalf("%d committed", sm.committed)
	}
	closeNode(t, n)

	n, g, sm = start(t, memOptions(fs))
	defer closeNode(t, n)
	for i := range 200 {
		if found, err := check(g, fmt.Sprint("k", i)); !found || err != nil {
			t.Errorf("k%d: %v %v", i, found, err)
		}
	}
	if sm.applied != 0 {
		t.Errorf("%d entries applied again", sm.applied)
	}
	if n.Member() != 1 {
		t.Errorf("member %d", n.Member())
	}
}
