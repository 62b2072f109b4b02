package control

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/postroad/postroad/internal/rows"
)

// State is the state machine and the view of what it has applied. Apply, Committed and Restored
// belong to the apply goroutine; all other methods are safe for use by several goroutines, and
// reads take no lock.
type State struct {
	applied *model // the newest; nil: to be read from the rows. Owned by the apply goroutine
	pending bool   // applied is newer than the view. Owned by the apply goroutine

	view    atomic.Pointer[model] // in the store; what is reachable from it does not change
	mu      sync.Mutex            // taken by whoever changes the view
	reader  rows.Reader           // guarded by mu: where Restored reads
	changed chan struct{}
}

// New returns an empty state. Load fills it once the group's store is open.
func New() *State {
	s := &State{changed: make(chan struct{}, 1)}
	s.view.Store(new(model))
	return s
}

// Committed publishes what Apply did since the last call: it is in the store now.
func (s *State) Committed() {
	if !s.pending {
		return
	}
	s.pending = false
	s.mu.Lock()
	s.view.Store(s.applied)
	s.mu.Unlock()
	s.tell()
}

// Load reads the rows, and remembers r for Restored. It may run beside Apply: what is applied
// meanwhile is published after it, because the lock is taken before the store is read, and because
// Committed comes after the store was written.
func (s *State) Load(r rows.Reader) error {
	s.mu.Lock()
	s.reader = r
	err := s.readLocked()
	s.mu.Unlock()
	if err == nil {
		s.tell()
	}
	return err
}

// Restored is called when another member's rows replaced all of ours: whatever was derived from
// rows is void. Like Apply it does not go on with a state that it cannot read.
func (s *State) Restored() {
	s.applied, s.pending = nil, false
	s.mu.Lock()
	if s.reader == nil {
		s.mu.Unlock()
		return // Load is still to come
	}
	err := s.readLocked()
	s.mu.Unlock()
	if err != nil {
		panic(fmt.Sprintf("control: %v", err))
	}
	s.tell()
}

func (s *State) readLocked() error {
	found := map[string][]byte{}
	err := s.reader.Scan(keyFrom, keyTo, func(k, v []byte) bool {
		found[string(k)] = append([]byte(nil), v...)
		return true
	})
	var m *model
	if err == nil {
		m, err = load(func(key []byte) ([]byte, bool) { v, ok := found[string(key)]; return v, ok })
	}
	if err != nil {
		return fmt.Errorf("loading the control state: %w", err)
	}
	s.view.Store(m)
	return nil
}

func (s *State) tell() {
	select {
	case s.changed <- struct{}{}:
	default: // whoever reads it has not read yet
	}
}

// Changed has a value after each change since it was last read. For one reader.
func (s *State) Changed() <-chan struct{} { return s.changed }
