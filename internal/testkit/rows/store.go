// Package rows has a group in memory for the tests of state machines.
package rows

import (
	"context"
	"sort"
	"sync"

	"github.com/postroad/postroad/internal/rows"
)

// Machine is a state machine.
type Machine interface {
	Apply(w rows.Writer, index, term uint64, data []byte, parts [][]byte) any
	Committed()
}

// Store is a group with one member: Propose applies at once. It implements rows.Writer, rows.Reader
// and rows.Proposer.
type Store struct {
	Machine Machine
	KV      map[string]string // the rows
	Index   uint64            // of the last entry
	Log     [][]byte          // the commands
	// Held keeps Committed from being called, as between Apply and the store's commit.
	Held bool
	// Answer, when set, takes each result over the wire.
	Answer func(result any) (any, error)

	mu sync.Mutex
}

// New returns an empty store.
func New(m Machine) *Store { return &Store{Machine: m, KV: map[string]string{}} }

// Set writes a row.
func (s *Store) Set(k, v []byte) { s.KV[string(k)] = string(v) }

// Delete takes a row out.
func (s *Store) Delete(k []byte) { delete(s.KV, string(k)) }

// Get reads a row.
func (s *Store) Get(k []byte) ([]byte, bool) {
	v, ok := s.KV[string(k)]
	return []byte(v), ok
}

// Scan calls fn with the rows from one key to another, in order, until it returns false.
func (s *Store) Scan(from, to []byte, fn func(k, v []byte) bool) error {
	type row struct{ k, v string }
	var all []row // those of one moment: fn may propose, and so may others
	s.mu.Lock()
	for k, v := range s.KV {
		if k >= string(from) && k < string(to) {
			all = append(all, row{k, v})
		}
	}
	s.mu.Unlock()
	sort.Slice(all, func(i, j int) bool { return all[i].k < all[j].k })
	for _, r := range all {
		if !fn([]byte(r.k), []byte(r.v)) {
			break
		}
	}
	return nil
}

// Propose applies a command and returns its result.
func (s *Store) Propose(_ context.Context, data []byte, parts [][]byte) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Index++
	s.Log = append(s.Log, data)
	r := s.Machine.Apply(s, s.Index, 1, data, parts)
	if !s.Held {
		s.Machine.Committed()
	}
	if s.Answer != nil {
		return s.Answer(r)
	}
	return r, nil
}
