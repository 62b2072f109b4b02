package delivery

import (
	"context"
	"fmt"
	"time"

	"github.com/postroad/postroad/delivery/share"
)

// The two ways a scheduler ends: as an owner that leaves in good order, and as one that was
// deposed.

// Shutdown starts no further transaction and ends the idle connections; it waits for the
// transactions under way until ctx ends, and then cuts them off. All goroutines have ended when it
// returns; stop the queue after that.
func (s *Scheduler) Shutdown(ctx context.Context) error {
	if n := s.end(ctx.Done(), func(*conn) bool { return false }); n > 0 {
		return fmt.Errorf("delivery: %d connections were cut off: %w", n, ctx.Err())
	}
	return nil
}

// abandonGrace is how long a deposed owner's connections may take to hear the reply to the end of
// data. The next owner counts on their being closed before share.DefaultLinger has passed.
const abandonGrace = share.DefaultLinger * 3 / 4

// Abandon ends the scheduler of an owner that was deposed or whose lease is gone: nothing is
// started and nothing is settled any more. Connections are cut off at once, but those over which
// the end of data was sent: they may hear the reply, so that the log has it, for a second or two.
// All goroutines have ended when it returns.
func (s *Scheduler) Abandon() {
	s.abandoned.Store(true)
	late := make(chan struct{})
	timer := time.AfterFunc(abandonGrace, func() { close(late) })
	defer timer.Stop()
	if n := s.end(late, func(cn *conn) bool { return !cn.shell.ending.Load() }); n > 0 {
		s.o.Logf(
			"no longer the owner: %d connections were cut off while the reply to the end of "+
				"data was awaited", n)
	}
}

// end stops everything: connections that cut names at once, the others when late is closed; it
// returns how many were left then.
func (s *Scheduler) end(late <-chan struct{}, cut func(*conn) bool) (left int) {
	now := s.lock()
	s.mu.core.stop()
	s.cancel()
	s.unlock(now)
	s.mu.Lock()
	s.mu.ended = true
	s.abort(cut)
	s.mu.Unlock()
	ended := make(chan struct{})
	go func() { s.goings.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-late:
		s.mu.Lock()
		left = s.abort(func(*conn) bool { return true })
		s.mu.Unlock()
		<-ended
	}
	if s.o.Shares != nil {
		s.o.Shares.Close()
	}
	return left
}

// abort cuts off connections. It is called under s.mu.
func (s *Scheduler) abort(which func(*conn) bool) (n int) {
	for cn, client := range s.mu.conns {
		if which(cn) {
			client.Abort()
			n++
		}
	}
	return n
}
