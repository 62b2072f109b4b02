package logstore

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// The process dies between the write and the sync of a block, starts again, reads the block from
// the page cache and goes on behind it. Then the power fails. What was acknowledged after the
// restart is there, and the log is whole.
func TestBlockFromThePageCacheIsMadeStable(t *testing.T) {
	base := vfs.NewCrashableMem()
	var armed atomic.Bool
	inj := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if armed.Load() && op.Kind == errorfs.OpFileSyncData && strings.HasSuffix(op.Path, ".seg") {
			return errorfs.ErrInjected
		}
		return nil
	})
	s, err := Open(Options{FS: errorfs.Wrap(base, inj), Dir: "log", SegmentSize: testSegment,
		OnFailure: func(error) {}})
	if err != nil {
		t.Fatal(err)
	}
	store(t, s.Group(1), 1, 3, 1)
	armed.Store(true)
	if err := s.Group(1).StoreLog(entry(4, 1)); !errors.Is(err, errorfs.ErrInjected) {
		t.Fatalf("the sync did not fail: %v", err)
	}
	s.Close()

	s = open(t, base)
	last, _ := s.Group(1).Last()
	if last != 4 {
		t.Fatalf("the block was not read back: the log ends at %d", last)
	}
	store(t, s.Group(1), 5, 6, 1)
	after := base.CrashClone(vfs.CrashCloneCfg{})
	closeStore(t, s)

	s = open(t, after)
	expect(t, s.Group(1), 1, 6, always(1))
	closeStore(t, s)
}
