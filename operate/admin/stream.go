package admin

import (
	"bufio"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/postroad/postroad/operate/admin/api"
)

// stream writes Lines. A goroutine of its own flushes what is there every second, and says that the
// work goes on when nothing is. Safe for use by several goroutines.
type stream struct {
	rc *http.ResponseController

	mu struct {
		sync.Mutex
		buf   *bufio.Writer
		enc   *json.Encoder
		moved int64 // not yet told
		err   error // of the first write that failed
	}
}

// flushEvery is how long a reader may wait for what is there, or for a sign of life.
const flushEvery = time.Second

// streaming answers with what work writes and the total or error that it returns, which is a line,
// too: the status is 200 by then. There is nobody left to tell of a failure to write: the client
// finds a stream cut off.
func streaming(w http.ResponseWriter, work func(*stream) (*api.Total, error)) error {
	w.Header().Set("Content-Type", "application/x-ndjson")
	s := &stream{rc: http.NewResponseController(w)}
	s.mu.buf = bufio.NewWriterSize(deadlineWriter{w, s.rc}, 32<<10)
	s.mu.enc = json.NewEncoder(s.mu.buf)
	total, err := s.beating(work)
	last := api.Line{Total: total}
	if err != nil {
		last = api.Line{Error: api.AsError(err)}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lineLocked(last)
	s.flushLocked()
	return nil
}

// beating runs work while the stream shows signs of life.
func (s *stream) beating(work func(*stream) (*api.Total, error)) (*api.Total, error) {
	var beats sync.WaitGroup
	defer beats.Wait()
	stop := make(chan struct{})
	defer close(stop)
	beats.Go(func() { s.beat(stop) })
	return work(s)
}

// deadlineWriter gives the client new time with each block.
type deadlineWriter struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

func (d deadlineWriter) Write(p []byte) (int, error) {
	if err := d.rc.SetWriteDeadline(time.Now().Add(writeWait)); err != nil {
		return 0, err
	}
	return d.w.Write(p)
}

func (s *stream) beat(stop <-chan struct{}) {
	t := time.NewTicker(flushEvery)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case <-t.C:
			s.mu.Lock()
			if s.mu.buf.Buffered() == 0 || s.mu.moved > 0 {
				s.lineLocked(api.Line{Progress: s.mu.moved})
				s.mu.moved = 0
			}
			s.flushLocked()
			s.mu.Unlock()
		}
	}
}

// item writes one thing of a listing; false means that nobody reads any more.
func (s *stream) item(v any) bool {
	raw, err := json.Marshal(v)
	return err == nil && s.raw(raw)
}

// raw is item for what is JSON, on one line, already.
func (s *stream) raw(raw json.RawMessage) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, part := range []string{`{"item":`, string(raw), "}\n"} {
		if s.mu.err == nil {
			_, s.mu.err = s.mu.buf.WriteString(part)
		}
	}
	return s.mu.err == nil
}

// moved notes how many recipients were moved so far.
func (s *stream) moved(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.moved = max(s.mu.moved, n)
}

func (s *stream) lineLocked(v any) {
	if s.mu.err == nil {
		s.mu.err = s.mu.enc.Encode(v)
	}
}

func (s *stream) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flushLocked()
}

func (s *stream) flushLocked() {
	if s.mu.err == nil {
		s.mu.err = s.mu.buf.Flush()
	}
	if s.mu.err == nil {
		s.mu.err = s.rc.Flush()
	}
}
