package logstore

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

// The comparison behind docs/decisions/0001-segment-files.md: the same entries through the segment
// files and through a log store on Pebble with value separation.
//
//	go test ./cluster/logstore -run xxx -bench Compare -benchtime 327680x
//
// b.N counts messages of 4 KiB, 64 to an entry; 327680 of them are 1.25 GiB. "through": entries and
// parts go soon after. "backlog": entries go from the log, their parts stay.
func BenchmarkCompare(b *testing.B) {
	for _, path := range []string{"through", "backlog"} {
		b.Run("segments/"+path, func(b *testing.B) {
			benchmarkCompare(b, openSegments, path == "backlog", 64<<20)
		})
		for _, window := range []int{16, 64} {
			name := fmt.Sprintf("pebble/%s/window-%d-MiB", path, window)
			b.Run(name, func(b *testing.B) {
				benchmarkCompare(b, openPebble, path == "backlog", window<<20)
			})
		}
	}
}

// contender is a log store under comparison.
type contender interface {
	store(l *raft.Log, parts [][]byte) error
	// truncate drops the entries up to index, and their parts too unless they are kept.
	truncate(from, to uint64, keep bool) error
	close() error
}

const compareMessage, compareBatch = 4096, 64

func benchmarkCompare(
	b *testing.B, open func(testing.TB, string) contender, backlog bool, window int,
) {
	dir := diskDir(b)
	c := open(b, dir)
	data := make([]byte, 200*compareBatch)
	parts := make([][]byte, compareBatch)
	for i := range parts {
		parts[i] = make([]byte, compareMessage)
		rand.Read(parts[i])
	}
	entries := uint64((b.N + compareBatch - 1) / compareBatch)
	every := uint64(window / compareBatch / compareMessage)
	cpu, written := used(b)
	b.SetBytes(compareMessage)
	b.ResetTimer()
	for i := uint64(1); i <= entries; i++ {
		if err := c.store(&raft.Log{Index: i, Term: 1, Data: data, AppendedAt: time.Now()},
			parts); err != nil {
			b.Fatal(err)
		}
		if i%every == 0 && i > every {
			if err := c.truncate(i-2*every+1, i-every, backlog); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.StopTimer()
	if err := c.close(); err != nil {
		b.Fatal(err)
	}
	cpuEnd, writtenEnd := used(b)
	messages := float64(entries * compareBatch)
	b.ReportMetric(float64((cpuEnd-cpu).Nanoseconds())/1000/messages, "cpu-µs/msg")
	b.ReportMetric(float64(writtenEnd-written)/messages/compareMessage, "written/octet")
	b.ReportMetric(float64(diskUse(b, dir))/messages/compareMessage, "disk/octet")
}

// segmentFiles is the store of this package, used as package cluster does.
type segmentFiles struct {
	s *Store
	g *Group
}

func openSegments(t testing.TB, dir string) contender {
	s, err := Open(Options{FS: vfs.Default, Dir: filepath.Join(dir, "segments")})
	if err != nil {
		t.Fatal(err)
	}
	s.Loaded()
	return segmentFiles{s, s.Group(1)}
}

func (c segmentFiles) store(l *raft.Log, parts [][]byte) error {
	l.Extensions = c.g.Lend(parts)
	defer c.g.Return(l.Extensions)
	if err := c.g.StoreLog(l); err != nil {
		return err
	}
	p, _ := c.g.Locate(l.Index)
	return c.s.Keep(p.Segment, compareBatch*compareMessage)
}

func (c segmentFiles) truncate(from, to uint64, keep bool) error {
	for i := from; i <= to && !keep; i++ {
		p, _ := c.g.Locate(i)
		if err := c.s.Keep(p.Segment, -compareBatch*compareMessage); err != nil {
			return err
		}
	}
	c.g.Compactable(to)
	flush := c.s.BeginFlush()
	return errors.Join(c.g.DeleteRange(from, to), c.s.EndFlush(flush))
}

func (c segmentFiles) close() error { return c.s.Close() }

// pebbleStore is the road not taken: one synced batch an entry, each part a value of its own.
type pebbleStore struct{ db *pebble.DB }

func openPebble(t testing.TB, dir string) contender {
	o := &pebble.Options{
		FormatMajorVersion: pebble.FormatNewest, MemTableSize: 64 << 20, CacheSize: 32 << 20,
		L0CompactionThreshold: 8,
		Logger:                quiet{},
	}
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings {
		return pebble.DBCompressionNone
	})
	o.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
		return pebble.ValueSeparationPolicy{
			Enabled: true, MinimumSize: 1024, MaxBlobReferenceDepth: 10,
			RewriteMinimumAge: 5 * time.Minute, TargetGarbageRatio: 0.5,
		}
	}
	db, err := pebble.Open(filepath.Join(dir, "pebble"), o)
	if err != nil {
		t.Fatal(err)
	}
	return pebbleStore{db}
}

type quiet struct{ pebble.Logger }

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}

func compareKey(space byte, index uint64, part int) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint64([]byte{space}, index),
		uint16(part))
}

func (c pebbleStore) store(l *raft.Log, parts [][]byte) error {
	b := c.db.NewBatchWithSize(len(l.Data) + compareBatch*(compareMessage+32))
	defer b.Close()
	if err := b.Set(compareKey('e', l.Index, 0), l.Data, nil); err != nil {
		return err
	}
	for i, p := range parts {
		if err := b.Set(compareKey('p', l.Index, i), p, nil); err != nil {
			return err
		}
	}
	return b.Commit(pebble.Sync)
}

func (c pebbleStore) truncate(from, to uint64, keep bool) error {
	b := c.db.NewBatch()
	defer b.Close()
	err := b.DeleteRange(compareKey('e', from, 0), compareKey('e', to+1, 0), nil)
	if !keep {
		err = errors.Join(err, b.DeleteRange(compareKey('p', from, 0), compareKey('p', to+1, 0),
			nil))
	}
	return errors.Join(err, b.Commit(pebble.NoSync))
}

func (c pebbleStore) close() error { return errors.Join(c.db.Flush(), c.db.Close()) }

// used returns the process's CPU time and write_bytes of /proc/self/io.
func used(t testing.TB) (cpu time.Duration, written int64) {
	t.Helper()
	var r syscall.Rusage
	io, err := os.ReadFile("/proc/self/io")
	if err = errors.Join(err, syscall.Getrusage(syscall.RUSAGE_SELF, &r)); err != nil {
		t.Fatal(err)
	}
	_, line, _ := bytes.Cut(io, []byte("\nwrite_bytes: "))
	fmt.Sscan(string(line), &written)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()), written
}

// diskDir is a directory on a disk: in POSTROAD_BENCH_DIR or where temporary files go. tmpfs is
// refused.
func diskDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(os.Getenv("POSTROAD_BENCH_DIR"), "postroad-bench")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	const tmpfsMagic = 0x01021994
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil || st.Type == tmpfsMagic {
		t.Fatal("needs a directory on a disk: set POSTROAD_BENCH_DIR")
	}
	return dir
}

// diskUse is what lies on the disk.
func diskUse(t testing.TB, dir string) (octets int64) {
	t.Helper()
	err := filepath.Walk(dir, func(_ string, i os.FileInfo, err error) error {
		if err == nil && i.Mode().IsRegular() {
			octets += i.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return octets
}
