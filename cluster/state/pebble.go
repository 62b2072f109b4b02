package state

import (
	"fmt"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postroad/postroad/cluster/logstore"
)

// slowDisk is how long an operation of Pebble's may take before it is reported.
const slowDisk = 5 * time.Second

// pebbleOptions sets up the state's Pebble small: it holds rows, not content, and its write-ahead
// log is the raft log.
func (s *Store) pebbleOptions() *pebble.Options {
	fs, health := vfs.WithDiskHealthChecks(markerOrder{s.opts.FS}, slowDisk, nil,
		func(i vfs.DiskSlowInfo) { s.opts.OnSlowDisk(i.String()) })
	s.health = health
	o := &pebble.Options{
		FS:                 fs,
		FormatMajorVersion: pebble.FormatNewest,
		DisableWAL:         true,
		CacheSize:          32 << 20,
		MemTableSize:       32 << 20,
		MaxOpenFiles:       500,
		Logger:             pebbleLogger{s},
	}
	for i := range o.Levels {
		// an ID that is not there is looked up for every message
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	// A queue's rows mostly die young: waiting a little longer before they are compacted, and
	// flushing into files that hardly overlap, halves what compactions write and compute under a
	// growing backlog (BenchmarkPropose/backlog).
	o.FlushSplitBytes = 2 << 20
	o.L0CompactionThreshold = 8
	o.LBaseMaxBytes = 256 << 20
	o.CompactionConcurrencyRange = func() (int, int) { return 1, 2 }
	o.Experimental.CompactionScheduler = newCompactions()
	o.EventListener = &pebble.EventListener{
		DiskSlow:        func(i pebble.DiskSlowInfo) { s.opts.OnSlowDisk(i.String()) },
		BackgroundError: func(err error) { s.opts.OnFailure(fmt.Errorf("state: %w", err)) },
		DataCorruption: func(i pebble.DataCorruptionInfo) {
			s.opts.OnFailure(fmt.Errorf("%w: state: %s is damaged: %w", logstore.ErrLost, i.Path,
				i.Details))
		},
	}
	return o
}

// pebbleLogger drops what Pebble tells for information. Fatalf must not return: Pebble goes on as
// if what failed had not.
type pebbleLogger struct{ s *Store }

func (l pebbleLogger) Infof(string, ...any) {}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.s.opts.Logf("state: "+format, args...)
}

func (l pebbleLogger) Fatalf(format string, args ...any) {
	err := error(fmt.Errorf("state: "+format, args...))
	for _, a := range args {
		if cause, ok := a.(error); ok {
			err = causedError{err.Error(), cause}
		}
	}
	l.s.opts.Fatal(err)
}

// causedError is a text with the error that it tells of, which Pebble formats with other verbs than
// %w.
type causedError struct {
	text  string
	cause error
}

func (e causedError) Error() string { return e.text }

func (e causedError) Unwrap() error { return e.cause }

// markerOrder syncs the directory before Pebble makes one of its marker files. Pebble syncs it only
// afterwards, and a crash may then leave the marker but not the manifest that it names; the crash
// test met it.
type markerOrder struct{ vfs.FS }

func (fs markerOrder) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasPrefix(fs.PathBase(name), "marker.") {
		if err := logstore.SyncDir(fs.FS, fs.PathDir(name)); err != nil {
			return nil, err
		}
	}
	return fs.FS.Create(name, category)
}

func (fs markerOrder) Unwrap() vfs.FS { return fs.FS }
