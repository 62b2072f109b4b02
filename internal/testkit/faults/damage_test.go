package faults

import (
	"bytes"
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// dataOf makes a node that does not run, with some data.
func dataOf(t *testing.T) *Node {
	t.Helper()
	n := &Node{Name: "n1", Dir: t.TempDir()}
	n.Data = filepath.Join(n.Dir, "data")
	segment := append(bytes.Repeat([]byte("x"), 50_000), make([]byte, 1<<17)...)
	for name, b := range map[string][]byte{
		"segments/0000000001.seg": segment, "segments/mark": []byte("mark"), "state/LOCK": nil,
		"state/000007.sst": []byte("rows"), "cluster/key.pem": []byte("key"), "secret": []byte("s"),
	} {
		path := filepath.Join(n.Data, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// filesOf are a node's files and what is in them.
func filesOf(t *testing.T, n *Node) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.Walk(n.Data, func(name string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		rel, _ := filepath.Rel(n.Data, name)
		files[rel] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestDamageIsOneAndItsSeeds: each damage changes exactly one file, within what was written, the
// same one for the same seed; all files get their turn.
func TestDamageIsOneAndItsSeeds(t *testing.T) {
	hit := map[string]bool{}
	for seed := range uint64(30) {
		for _, k := range []Kind{Flip, Shorten, Blank, Missing} {
			var told [2]string
			for i := range told {
				n := dataOf(t)
				before := filesOf(t, n)
				var err error
				if told[i], err = n.damage(k, rand.New(rand.NewPCG(seed, 1))); err != nil {
					t.Fatal(err)
				}
				after := filesOf(t, n)
				maps.DeleteFunc(before, func(name, was string) bool {
					now, ok := after[name]
					return ok && now == was
				})
				if len(before) != 1 {
					t.Errorf(
						"%v, seed %d: %d files have changed: %s",
						k,
						seed,
						len(before),
						told[i],
					)
				}
				for name := range before {
					hit[name] = true
					if !strings.Contains(told[i], name) {
						t.Errorf("%v of %s is told as %q", k, name, told[i])
					}
				}
			}
			if told[0] != told[1] {
				t.Errorf("seed %d: %q and %q", seed, told[0], told[1])
			}
		}
	}
	if len(hit) != 5 { // not the empty one
		t.Errorf("only these were ever damaged: %v", hit)
	}
}

// TestRollback: all data are as they were when they were kept.
func TestRollback(t *testing.T) {
	n := dataOf(t)
	before := filesOf(t, n)
	if err := n.keep(); err != nil {
		t.Fatal(err)
	}
	if _, err := n.damage(Missing, rand.New(rand.NewPCG(1, 1))); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(n.Data, "new"), []byte("new"), 0o600)
	if err := n.rollback(); err != nil {
		t.Fatal(err)
	}
	if got := filesOf(t, n); !maps.Equal(got, before) {
		t.Errorf("%d files, want %d", len(got), len(before))
	}
}

// TestLastBlock: the newest block of a file's own number counts, not what was there before.
func TestLastBlock(t *testing.T) {
	name := filepath.Join(t.TempDir(), "0000000007.seg")
	var file []byte
	for _, b := range []struct{ segment, seq, size int }{
		{7, 21, 100}, {7, 22, 5000}, {3, 9, 200}, {3, 30, 10},
	} {
		block := make([]byte, (blockHeader+b.size+segmentPage-1)/segmentPage*segmentPage)
		binary.LittleEndian.PutUint32(block, blockMagic)
		binary.LittleEndian.PutUint64(block[8:], uint64(b.segment))
		binary.LittleEndian.PutUint64(block[16:], uint64(b.seq))
		binary.LittleEndian.PutUint32(block[48:], uint32(b.size))
		file = append(file, block...)
	}
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	from, end, err := lastBlock(name)
	if err != nil || from != segmentPage || end != segmentPage+blockHeader+5000 {
		t.Errorf("from %d to %d: %v", from, end, err)
	}
}
