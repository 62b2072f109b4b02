package owner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const (
	testYield = 10 * time.Second
	testStop  = 30 * time.Second
)

// world is a group without raft, its Owner, and what has happened, in order. All of it runs in a
// bubble of testing/synctest.
type world struct {
	*testing.T
	owner   *Owner
	leading atomic.Uint64
	yield   func(context.Context) error
	led     func(term uint64)
	events  chan string
	begin   func(ctx context.Context, term uint64) error // nil: it begins
	finish  func(ctx context.Context) error              // nil: there is nothing to finish
}

func (w *world) ID() uint64                                   { return 7 }
func (w *world) Leading() uint64                              { return w.leading.Load() }
func (w *world) OnTransfer(yield func(context.Context) error) { w.yield = yield }

func (w *world) happens(format string, args ...any) { w.events <- fmt.Sprintf(format, args...) }

// fakeTerm writes down what is done with a term.
type fakeTerm struct {
	w      *world
	number uint64
}

func (t *fakeTerm) Number() uint64 { return t.number }
func (t *fakeTerm) Abandon()       { t.w.happens("abandon %d", t.number) }
func (t *fakeTerm) Over()          { t.w.happens("over %d", t.number) }

func (t *fakeTerm) Finish(ctx context.Context) error {
	t.w.happens("finish %d", t.number)
	if t.w.finish == nil {
		return nil
	}
	return t.w.finish(ctx)
}

// play runs a test with a group of which this node is a member.
func play(t *testing.T, run func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, events: make(chan string, 100)}
		w.owner = New(Options{
			Group: w, YieldTime: testYield, StopTime: testStop,
			Begin: func(ctx context.Context, term uint64) (Term, error) {
				w.happens("begin %d", term)
				if w.begin != nil {
					if err := w.begin(ctx, term); err != nil {
						return nil, err
					}
				}
				return &fakeTerm{w, term}, nil
			},
			Logf:   func(format string, args ...any) { w.happens("log "+format, args...) },
			Errorf: func(format string, args ...any) { w.happens("error "+format, args...) },
		})
		err := w.owner.Take(func(led func(term uint64)) error { w.led = led; return nil })
		if err != nil {
			t.Fatal(err)
		}
		run(w)
		w.owner.Stop(t.Context())
	})
}

// leads makes the node lead in a term; 0: it leads no more.
func (w *world) leads(term uint64) {
	w.leading.Store(term)
	w.led(term)
}

// were checks what has happened since the last time, once all is at rest.
func (w *world) were(want ...string) {
	w.Helper()
	synctest.Wait()
	var got []string
	for len(w.events) > 0 {
		got = append(got, <-w.events)
	}
	if !slices.Equal(got, want) {
		w.Errorf("%q happened, not %q", got, want)
	}
}

const lost2 = "log group 7: this node is not the owner any more (term 2)"

func TestTermsFollowEachOther(t *testing.T) {
	play(t, func(w *world) {
		w.leads(2)
		w.were("begin 2")
		w.leads(0)
		w.were(lost2, "abandon 2", "over 2")
		w.leads(0)
		w.were()
		w.leads(4)
		w.were("begin 4")
		w.leads(5) // led again without a word between: the term before was lost all the same
		w.were("log group 7: this node is not the owner any more (term 4)", "abandon 4", "over 4",
			"begin 5")
	})
}

// TestNewestTermCounts: terms that came and went while another began are never begun, and the loss
// of the leadership ends a beginning at once.
func TestNewestTermCounts(t *testing.T) {
	play(t, func(w *world) {
		w.begin = func(ctx context.Context, term uint64) error {
			if term != 2 {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}
		w.leads(2)
		w.were("begin 2")
		w.leading.Store(5)
		for _, term := range []uint64{0, 3, 0, 5} {
			w.led(term)
		}
		w.were("error group 7: context canceled", "begin 5")
	})
}

// TestLeaseThatEndedBeginsNothing: what raft told is not begun when the leadership has gone
// meanwhile.
func TestLeaseThatEndedBeginsNothing(t *testing.T) {
	play(t, func(w *world) {
		w.led(2) // the group knows better by now
		w.were()
		w.leading.Store(3)
		w.led(2)
		w.were()
	})
}

// TestBeginFails: who begins a term says why it did not, and the next term is begun.
func TestBeginFails(t *testing.T) {
	play(t, func(w *world) {
		w.begin = func(context.Context, uint64) error { return errors.New("no disk") }
		w.leads(2)
		w.were("begin 2", "error group 7: no disk")
		w.leads(0)
		w.were()
		w.begin = nil
		w.leads(3)
		w.were("begin 3")
	})
}

// TestYield: before the leadership is given away, the term ends in good order. If it stays here
// after all, the same term begins again.
func TestYield(t *testing.T) {
	play(t, func(w *world) {
		if err := w.yield(w.Context()); err != nil {
			w.Errorf("there was nothing to yield: %v", err)
		}
		w.leads(2)
		w.were("begin 2")
		if err := w.yield(w.Context()); err != nil {
			w.Error(err)
		}
		w.were("finish 2", "over 2")
		w.leads(2) // the transfer has failed
		w.were("begin 2")
		if err := w.yield(w.Context()); err != nil {
			w.Error(err)
		}
		w.leads(0)
		w.were("finish 2", "over 2")
	})
}

// TestYieldRefuses: what takes too long keeps the leadership here, and the term goes on.
func TestYieldRefuses(t *testing.T) {
	play(t, func(w *world) {
		w.finish = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		w.leads(2)
		w.were("begin 2")
		start := time.Now()
		if err := w.yield(context.Background()); !errors.Is(err, context.DeadlineExceeded) {
			w.Errorf("yielded: %v", err)
		}
		if took := time.Since(start); took != testYield {
			w.Errorf("it took %v", took)
		}
		w.were("finish 2", "over 2", "begin 2")

		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := w.yield(ctx); !errors.Is(err, context.DeadlineExceeded) ||
			time.Since(start) != testYield+time.Second {
			w.Errorf("who asked waits no longer: %v", err)
		}
		w.were("finish 2", "over 2", "begin 2")
		w.finish = nil
	})
}

// TestLostWhileYielding: the loss cuts short what is being finished, and the term is not begun
// again.
func TestLostWhileYielding(t *testing.T) {
	play(t, func(w *world) {
		w.finish = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		w.leads(2)
		w.were("begin 2")
		yielded := make(chan error, 1)
		go func() { yielded <- w.yield(context.Background()) }()
		w.were("finish 2")
		w.leads(0)
		if err := <-yielded; !errors.Is(err, errLostMeanwhile) {
			w.Errorf("yielded: %v", err)
		}
		w.were("abandon 2", "over 2")
		time.Sleep(testYield) // in the bubble: for the Finish that was cut short
	})
}

func TestStop(t *testing.T) {
	slow := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for _, c := range []struct {
		name   string
		before func(w *world)
		owned  bool
		err    error
		took   time.Duration
		want   []string
	}{
		{"no owner", func(*world) {}, false, nil, 0, nil},
		{"owner", func(w *world) { w.leads(2) }, true, nil, 0,
			[]string{"begin 2", "finish 2", "over 2"}},
		{"slow", func(w *world) { w.finish = slow; w.leads(2) }, true, context.DeadlineExceeded,
			testStop, []string{"begin 2", "finish 2", "over 2"}},
		{"lost before", func(w *world) { w.leads(2); synctest.Wait(); w.leads(0) }, false, nil, 0,
			[]string{"begin 2", lost2, "abandon 2", "over 2"}},
		{"lost meanwhile", func(w *world) {
			w.finish = slow
			w.leads(2)
			time.AfterFunc(time.Second, func() { w.leads(0) })
		}, true, nil, time.Second, []string{"begin 2", "finish 2", "abandon 2", "over 2",
			"log group 7: the group was lost before all was finished"}},
		{"beginning", func(w *world) {
			w.begin = func(ctx context.Context, _ uint64) error { <-ctx.Done(); return ctx.Err() }
			w.leads(2)
		}, false, nil, 0, []string{"begin 2"}}, // whose error is of the stop
	} {
		t.Run(c.name, func(t *testing.T) {
			play(t, func(w *world) {
				c.before(w)
				synctest.Wait()
				start := time.Now()
				owned, err := w.owner.Stop(context.Background())
				if owned != c.owned || !errors.Is(err, c.err) || c.err == nil && err != nil ||
					time.Since(start) != c.took {
					w.Errorf("owned %t, %v, after %v", owned, err, time.Since(start))
				}
				w.were(c.want...)
				if err := w.yield(context.Background()); err != nil {
					w.Errorf("a yield after the end: %v", err)
				}
				w.owner.present = nil // play stops it once more
				time.Sleep(testStop)  // in the bubble: for the Finish that was cut short
			})
		})
	}
}

func TestTakeFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(Options{Group: &world{}})
		no := errors.New("no")
		if err := w.Take(func(func(uint64)) error { return no }); err != no {
			t.Errorf("joined: %v", err)
		}
		if owned, err := w.Stop(t.Context()); owned || err != nil {
			t.Errorf("owned %t, %v", owned, err)
		}
	})
}
