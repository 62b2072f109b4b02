package pop3

import (
	"context"
	"sync"

	"github.com/postroad/postroad/internal/fifo"
)

// workers run what may block: at most so many jobs at once, the others wait in order. A session has
// one call under way and one renewal, so what waits is bounded by the sessions. A goroutine that
// was started stays, because its stack has grown to what a read of the store needs. Safe for use by
// several goroutines.
type workers struct {
	most int
	mu   struct {
		sync.Mutex
		started, idle int
		jobs          fifo.Queue[func()]
		closed        bool
	}
	wake *sync.Cond // of mu: there is a job, or closed
	all  sync.WaitGroup
}

func newWorkers(most int) *workers {
	w := &workers{most: most}
	w.wake = sync.NewCond(&w.mu.Mutex)
	return w
}

// do has job run, soon.
func (w *workers) do(job func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.jobs.Push(job)
	switch {
	case w.mu.idle > 0:
		w.mu.idle--
		w.wake.Signal()
	case w.mu.started < w.most:
		w.mu.started++
		w.all.Go(w.work)
	}
}

func (w *workers) work() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for w.mu.jobs.Len() == 0 {
			if w.mu.closed {
				w.mu.started--
				return
			}
			w.mu.idle++
			w.wake.Wait()
		}
		job := w.mu.jobs.Pop()
		w.mu.Unlock()
		job()
		w.mu.Lock()
	}
}

// close ends the workers when all jobs are done. Jobs that come later, from connections that were
// cut off, are done, too.
func (w *workers) close(ctx context.Context) error {
	w.mu.Lock()
	w.mu.closed, w.mu.idle = true, 0
	w.wake.Broadcast()
	w.mu.Unlock()
	done := make(chan struct{})
	go func() {
		w.all.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
