package rsasign

import (
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestSpeed compares Sign with the library alone, as `openssl speed` runs it, in turns within one
// run: the processor time that a signature takes of the thread that makes it, on one thread, and on
// as many as there are processors, with one key. The middle of many short turns is compared, so
// that what else runs on the machine counts for little.
func TestSpeed(t *testing.T) {
	if os.Getenv("POSTROAD_LONG") == "" {
		t.Skip("skipped: POSTROAD_LONG=1 measures")
	}
	k := parsed(t, 2048)
	direct := directly(t, k)
	digest := digestOf(1)
	sign := func(n int) {
		var sig []byte
		for range n {
			var err error
			if sig, err = k.Append(sig[:0], digest); err != nil {
				t.Error(err)
			}
		}
	}
	for _, workers := range []int{1, runtime.GOMAXPROCS(0)} {
		took := [2][]time.Duration{}
		var mu sync.Mutex
		var wait sync.WaitGroup
		for range workers {
			wait.Go(func() {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				for turn := range 300 {
					i := turn % 2
					start := threadTime()
					[]func(int){direct, sign}[i](10)
					d := (threadTime() - start) / 10
					mu.Lock()
					took[i] = append(took[i], d)
					mu.Unlock()
				}
			})
		}
		wait.Wait()
		for i := range took {
			slices.Sort(took[i])
		}
		alone, ours := took[0][len(took[0])/2], took[1][len(took[1])/2]
		ratio := float64(alone) / float64(ours)
		t.Logf("%s, %d at once: %v a signature, the library alone %v: ratio %.3f",
			Implementation(), workers, ours, alone, ratio)
		if ratio < fastest {
			t.Errorf("%d at once: ratio %.3f, want %.2f", workers, ratio, fastest)
		}
	}
}

// threadTime is what this thread has used of a processor.
func threadTime() time.Duration {
	const thread = 1 // RUSAGE_THREAD, which package syscall does not have
	var u syscall.Rusage
	if err := syscall.Getrusage(thread, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
