package maillog

import (
	"context"
	"io"
	"sync"
	"time"
)

// flushEvery is how long a line may wait for company, so that a busy node writes in large blocks.
const flushEvery = 50 * time.Millisecond

// stream is a bounded buffer before a writer. Appending never waits for the writer: two buffers
// change places, one is filled while the other is written by the stream's goroutine.
type stream struct {
	w   io.Writer
	max int
	// capacity 1: the buffer is no longer empty, or half full, or somebody waits in flush
	wake chan struct{}
	done chan struct{} // closed when the goroutine has ended
	// lost makes a line that says how many lines were dropped, and why when the writer failed; what
	// it returns is written to w. Set before the first append.
	lost func(dropped uint64, err error) []byte

	mu struct {
		sync.Mutex
		buf, spare      []byte
		lines           uint64 // in buf
		written         uint64 // lines that w took
		dropped         uint64
		droppedReported uint64
		err             error         // of the last write
		hurry           bool          // somebody waits: do not wait for company
		flushed         chan struct{} // closed and replaced after each write
		closed          bool
	}
}

func newStream(w io.Writer, max int) *stream {
	s := &stream{w: w, max: max, wake: make(chan struct{}, 1), done: make(chan struct{})}
	s.mu.flushed = make(chan struct{})
	go s.run()
	return s
}

// append adds one line, or drops it when the buffer is full.
func (s *stream) append(line []byte) {
	s.mu.Lock()
	if len(s.mu.buf)+len(line) > s.max || s.mu.closed {
		s.mu.dropped++
		s.mu.Unlock()
		return
	}
	before := len(s.mu.buf)
	s.mu.buf = append(s.mu.buf, line...)
	s.mu.lines++
	half := s.max / 2
	wake := before == 0 || before < half && len(s.mu.buf) >= half
	s.mu.Unlock()
	if wake {
		s.signal()
	}
}

func (s *stream) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run is the stream's goroutine: it owns the writer.
func (s *stream) run() {
	defer close(s.done)
	timer := time.NewTimer(flushEvery)
	defer timer.Stop()
	for range s.wake {
		timer.Reset(flushEvery)
		for !s.urgent() {
			select {
			case <-s.wake:
				continue
			case <-timer.C:
			}
			break
		}
		if s.write() {
			return
		}
	}
}

// urgent reports whether the buffer should be written without waiting for more.
func (s *stream) urgent() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.hurry || s.mu.closed || len(s.mu.buf) >= s.max/2
}

// write writes what is buffered. It reports whether the stream was closed and nothing is left.
func (s *stream) write() (end bool) {
	s.mu.Lock()
	out, lines := s.mu.buf, s.mu.lines
	s.mu.buf, s.mu.lines, s.mu.hurry = s.mu.spare[:0], 0, false
	dropped, err := s.mu.dropped-s.mu.droppedReported, s.mu.err
	s.mu.droppedReported = s.mu.dropped
	s.mu.Unlock()

	if dropped > 0 || err != nil {
		out = append(out, s.lost(dropped, err)...)
	}
	n := 0
	if err = nil; len(out) > 0 {
		n, err = s.w.Write(out)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if n < len(out) {
		s.mu.dropped += lines
	} else {
		s.mu.written += lines
	}
	s.mu.err, s.mu.spare = err, out
	close(s.mu.flushed)
	s.mu.flushed = make(chan struct{})
	return s.mu.closed && len(s.mu.buf) == 0
}

// flush waits until what is buffered now was given to the writer. One write may be under way, so
// two are waited for when there is something to write.
func (s *stream) flush(ctx context.Context) error {
	for range 2 {
		s.mu.Lock()
		s.mu.hurry = true
		flushed := s.mu.flushed
		s.mu.Unlock()
		s.signal()
		select {
		case <-flushed:
		case <-s.done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (s *stream) close(ctx context.Context) error {
	s.mu.Lock()
	s.mu.closed = true
	s.mu.Unlock()
	s.signal()
	select {
	case <-s.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.err
}

func (s *stream) count() (written, dropped uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.written, s.mu.dropped
}
