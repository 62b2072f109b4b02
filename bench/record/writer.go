package record

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// flushEvery is how often what waits for its block to be full is written: who looks at a record
// while it grows sees what is no older.
const flushEvery = 500 * time.Millisecond

// Create makes the file of a record. A lock on it tells others, until the file is closed or the
// process ends, that its writer is still at it.
func Create(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	// where a file system has no locks, nobody can tell a writer from one that was killed
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err,
		syscall.EWOULDBLOCK) {
		return nil, errors.Join(errors.New(name+": another program is writing a record there"),
			f.Close())
	}
	if err := f.Truncate(0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// BeingWritten reports whether the writer of a record is still at it.
func BeingWritten(f *os.File) bool {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if err == nil {
		_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) // closing it does the same
	}
	return errors.Is(err, syscall.EWOULDBLOCK)
}

// KeepFlushed writes twice a second what waits for its block to be full, until ctx ends. The error
// of the file is Finish's to tell.
func (l *log) KeepFlushed(ctx context.Context) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = l.Flush()
		}
	}
}
