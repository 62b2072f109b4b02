package directory

import (
	"context"
	"sort"
	"sync"
	"testing"
	"time"
)

// store is a group's store with one member: Propose applies at once.
type store struct {
	mu    sync.Mutex
	kv    map[string]string
	index uint64
	fsm   *Directory
	// held keeps Committed from being called, as between Apply and the store's commit.
	held bool
	log  [][]byte
}

func (s *store) Set(k, v []byte) { s.kv[string(k)] = string(v) }
func (s *store) Delete(k []byte) { delete(s.kv, string(k)) }
func (s *store) Get(k []byte) ([]byte, bool) {
	v, ok := s.kv[string(k)]
	return []byte(v), ok
}

func (s *store) Scan(from, to []byte, fn func(k, v []byte) bool) error {
	s.mu.Lock()
	var keys []string
	for k := range s.kv {
		if k >= string(from) && k < string(to) {
			keys = append(keys, k)
		}
	}
	s.mu.Unlock()
	sort.Strings(keys)
	for _, k := range keys {
		if !fn([]byte(k), []byte(s.kv[k])) {
			break
		}
	}
	return nil
}

func (s *store) Propose(_ context.Context, data []byte, parts [][]byte) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index++
	s.log = append(s.log, data)
	r := s.fsm.Apply(s, s.index, 1, data, parts)
	if !s.held {
		s.fsm.Committed()
	}
	return r, nil
}

// cheap is a cost for tests; it is not the cost that matters to them.
var cheap = Cost{MemoryKiB: 8, Passes: 1, Lanes: 1}

var clockStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newEditor(t *testing.T) (*Editor, *store) {
	t.Helper()
	d := New()
	s := &store{kv: map[string]string{}, fsm: d}
	return &Editor{Directory: d, Proposer: s, Now: func() time.Time { return clockStart }, Cost: cheap}, s
}
