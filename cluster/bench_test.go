package cluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postroad/postroad/internal/rows"
)

// usage is what the process has used up to a moment.
type usage struct {
	cpu     time.Duration
	written int64 // write_bytes of /proc/self/io
}

func used(t testing.TB) (u usage) {
	t.Helper()
	var r syscall.Rusage
	io, err := os.ReadFile("/proc/self/io")
	if err = errors.Join(err, syscall.Getrusage(syscall.RUSAGE_SELF, &r)); err != nil {
		t.Fatal(err)
	}
	u.cpu = time.Duration(r.Utime.Nano() + r.Stime.Nano())
	_, line, _ := bytes.Cut(io, []byte("\nwrite_bytes: "))
	fmt.Sscan(string(line), &u.written)
	return u
}

// diskDir is a directory on a real disk: POSTROAD_BENCH_DIR or the default for temporary files.
// tmpfs is refused.
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
		t.Skip("needs a directory on a disk: set POSTROAD_BENCH_DIR")
	}
	return dir
}

// post is a state machine with the row traffic of a mail queue: accept writes two rows and keeps a
// part for each message, settle deletes them. Commands: 'a' accepts as many messages as there are
// parts, 's' and an index settles the messages of that entry.
type post struct{}

func (post) Apply(w rows.ContentWriter, index, term uint64, data []byte, parts [][]byte) any {
	var key [24]byte
	var row [200]byte
	n := len(parts)
	at := index
	if data[0] == 's' {
		at, n = binary.BigEndian.Uint64(data[1:]), int(data[9])
	}
	binary.BigEndian.PutUint64(key[1:], at)
	for i := range n {
		key[9] = byte(i)
		for _, space := range []byte{'m', 'q'} {
			key[0] = space
			if data[0] == 'a' {
				w.Set(key[:], row[:])
			} else {
				w.Delete(key[:])
			}
		}
		if data[0] == 'a' {
			w.KeepPart(index, i)
		} else {
			w.DropPart(at, i)
		}
	}
	return index
}

func (post) Committed() {}

// BenchmarkPropose is the whole way of a 4 KiB message, so many to a command, on one voter:
// propose, log, sync, apply; then the same for its settlement, except in the backlog case. b.N
// counts messages.
//
//	go test ./cluster -run xxx -bench Propose -benchtime 400000x
func BenchmarkPropose(b *testing.B) {
	for _, batch := range []int{64, 8, 1} {
		b.Run(fmt.Sprintf("through/batch-%d", batch), func(b *testing.B) {
			benchmarkPropose(b, batch, true)
		})
	}
	b.Run("backlog/batch-64", func(b *testing.B) { benchmarkPropose(b, 64, false) })
}

const benchMessage, benchProposers = 4096, 3

func benchmarkPropose(b *testing.B, benchBatch int, settle bool) {
	n, err := Open(Options{Dir: diskDir(b), FS: vfs.Default})
	if err != nil {
		b.Fatal(err)
	}
	defer closeNode(b, n)
	g := n.Group(HomeGroup)
	led := make(chan uint64, 8)
	if err := g.Start(post{}, func(term uint64) { led <- term }); err != nil {
		b.Fatal(err)
	}
	<-led
	parts := make([][]byte, benchBatch)
	for i := range parts {
		parts[i] = make([]byte, benchMessage)
		rand.Read(parts[i])
	}
	before, stats := used(b), n.Stats()
	b.SetBytes(benchMessage)
	b.ReportAllocs()
	b.ResetTimer()
	var left atomic.Int64
	left.Store(int64(b.N))
	var proposers sync.WaitGroup
	for range benchProposers {
		proposers.Go(func() {
			for left.Add(int64(-benchBatch)) > int64(-benchBatch) {
				benchOne(b, g, parts, settle)
			}
		})
	}
	proposers.Wait()
	b.StopTimer()
	after, end := used(b), n.Stats()
	messages := float64((b.N + benchBatch - 1) / benchBatch * benchBatch)
	b.ReportMetric(float64((after.cpu-before.cpu).Microseconds())/messages, "cpu-µs/msg")
	b.ReportMetric(float64(after.written-before.written)/messages/benchMessage, "written/octet")
	b.ReportMetric(float64(end.Log.Written-stats.Log.Written)/messages/benchMessage, "log/octet")
	b.ReportMetric(float64(end.StateWritten-stats.StateWritten)/messages/benchMessage,
		"state/octet")
	b.ReportMetric(float64(end.Log.Recycled)/float64(end.Log.Recycled+end.Log.Created), "recycled")
	b.ReportMetric(float64(end.Log.Syncs-stats.Log.Syncs)/messages, "syncs/msg")
	b.ReportMetric(float64(end.Log.Segments), "segments")
}

func benchOne(b *testing.B, g *Group, parts [][]byte, settle bool) {
	accept := make([]byte, 200*len(parts)) // envelopes
	accept[0] = 'a'
	index, err := g.Propose(context.Background(), accept, parts)
	if err != nil {
		b.Error(err)
		return
	}
	if settle {
		cmd := append(binary.BigEndian.AppendUint64([]byte{'s'}, index.(uint64)), byte(len(parts)))
		if _, err := g.Propose(context.Background(), cmd, nil); err != nil {
			b.Error(err)
		}
	}
}
