package rsasign

import (
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestSpeed compares Sign with the library alone, as `openssl speed` runs it, in turns within one
// run: the processor time of a signature on one goroutine, and of those that all processors make at
// once, where a lock would cost.
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
				t.Fatal(err)
			}
		}
	}
	for _, workers := range []int{1, runtime.GOMAXPROCS(0)} {
		const turns, each = 40, 50
		var took [2]time.Duration
		for turn := range turns {
			for i := range took {
				i = (i + turn) % 2
				var wait sync.WaitGroup
				start := processorTime(t)
				for range workers {
					wait.Go(func() { []func(int){direct, sign}[i](each) })
				}
				wait.Wait()
				took[i] += processorTime(t) - start
			}
		}
		n := time.Duration(turns * each * workers)
		ratio := float64(took[0]) / float64(took[1])
		t.Logf("%s, %d at once: %v a signature, the library alone %v: ratio %.3f",
			Implementation(), workers, took[1]/n, took[0]/n, ratio)
		if ratio < fastest {
			t.Errorf("%d at once: ratio %.3f, want %.2f", workers, ratio, fastest)
		}
	}
}

// processorTime is what this process has used.
func processorTime(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
