package queuetest

import (
	"bytes"
	"hash/fnv"
)

// tree is a persistent ordered map (a treap whose priorities are hashes of the keys): an old root
// stays as it was, which makes snapshots and replays from any point free.
type tree struct {
	left, right *tree
	key, value  []byte
	priority    uint64
}

func priority(key []byte) uint64 {
	h := fnv.New64a()
	h.Write(key)
	return h.Sum64() * 0x9e3779b97f4a7c15
}

func (t *tree) get(key []byte) ([]byte, bool) {
	for t != nil {
		switch c := bytes.Compare(key, t.key); {
		case c < 0:
			t = t.left
		case c > 0:
			t = t.right
		default:
			return t.value, true
		}
	}
	return nil, false
}

// split returns what is below key and what is not.
func (t *tree) split(key []byte) (below, rest *tree) {
	if t == nil {
		return nil, nil
	}
	n := *t
	if bytes.Compare(t.key, key) < 0 {
		n.right, rest = t.right.split(key)
		return &n, rest
	}
	below, n.left = t.left.split(key)
	return below, &n
}

// join puts two trees together; all keys of a are below those of b.
func join(a, b *tree) *tree {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	if a.priority > b.priority {
		n := *a
		n.right = join(a.right, b)
		return &n
	}
	n := *b
	n.left = join(a, b.left)
	return &n
}

func (t *tree) deleteRange(from, to []byte) *tree {
	a, rest := t.split(from)
	_, b := rest.split(to)
	return join(a, b)
}

func (t *tree) set(key, value []byte) *tree {
	next := append(bytes.Clone(key), 0)
	a, rest := t.split(key)
	_, b := rest.split(next)
	n := &tree{
		key:      next[:len(key):len(key)],
		value:    append([]byte{}, value...),
		priority: priority(key),
	}
	return join(join(a, n), b)
}

func (t *tree) scan(from, to []byte, fn func(k, v []byte) bool) bool {
	if t == nil {
		return true
	}
	low, high := bytes.Compare(t.key, from) >= 0, bytes.Compare(t.key, to) < 0
	if low && !t.left.scan(from, to, fn) {
		return false
	}
	if low && high && !fn(t.key, t.value) {
		return false
	}
	return !high || t.right.scan(from, to, fn)
}
