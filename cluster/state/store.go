// Package state keeps the states of all groups of a node: their rows in one Pebble, and which
// content in the log the rows refer to. It knows how a state is written entry by entry, and how it
// is taken over from another member as a whole; which entries there are, and who leads, is
// package cluster's. ../DESIGN.md says why it is as it is.
package state

import (
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postroad/postroad/cluster/logstore"
)

// Options of a Store. All must be set.
type Options struct {
	FS  vfs.FS
	Dir string
	// Log has the content that rows refer to.
	Log *logstore.Store
	// OnFailure hears of an error after which nothing can be stored any more. It may return.
	OnFailure func(error)
	// Fatal hears of such an error from a goroutine that cannot go on. It does not return.
	Fatal func(error)
	// OnSlowDisk hears of operations of Pebble's that take over 5 s.
	OnSlowDisk func(what string)
	// Logf takes what is worth a line.
	Logf func(format string, args ...any)
}

// Store is the Pebble of one node. It is safe for use by several goroutines.
type Store struct {
	opts   Options
	db     *pebble.DB
	health io.Closer     // of the disk
	large  chan struct{} // a turn to give a large state away
}

// Open opens the store in Options.Dir. Its error wraps logstore.ErrLost when what is there does not
// belong together.
func Open(opts Options) (*Store, error) {
	s := &Store{opts: opts, large: make(chan struct{}, largeTurns)}
	db, err := pebble.Open(opts.Dir, s.pebbleOptions())
	if err != nil {
		// what the system says, as of a full disk, is no damage
		var errno syscall.Errno
		if !errors.As(err, &errno) || errno == syscall.ENOENT {
			err = fmt.Errorf("%w: %w", logstore.ErrLost, err)
		}
		return nil, errors.Join(fmt.Errorf("open state: %w", err), s.health.Close())
	}
	s.db = db
	return s, nil
}

// Flush makes all states durable as of now, and lets segments of the log that had emptied before be
// used again.
func (s *Store) Flush() error {
	f := s.opts.Log.BeginFlush()
	if err := s.db.Flush(); err != nil {
		return fmt.Errorf("flush state: %w", err)
	}
	return s.opts.Log.EndFlush(f)
}

// Close closes the store; with flush the next start has little to apply.
func (s *Store) Close(flush bool) (err error) {
	if flush {
		err = s.db.Flush()
	}
	return errors.Join(err, s.db.Close(), s.health.Close())
}

// Metrics are Pebble's own. They cost some microseconds.
func (s *Store) Metrics() *pebble.Metrics { return s.db.Metrics() }
