package admin

import (
	"bufio"
	"encoding/json"
	"net/http"
	"time"
)

// stream writes Lines. Its first line commits to the status 200: what goes wrong after it is a line itself.
type stream struct {
	rc      *http.ResponseController
	buf     *bufio.Writer
	enc     *json.Encoder
	flushed time.Time
}

// flushEvery is how long a reader may wait for what is there.
const flushEvery = time.Second

func newStream(w http.ResponseWriter) *stream {
	w.Header().Set("Content-Type", "application/x-ndjson")
	s := &stream{rc: http.NewResponseController(w), flushed: time.Now()}
	s.buf = bufio.NewWriterSize(deadlineWriter{w, s.rc}, 32<<10)
	s.enc = json.NewEncoder(s.buf)
	return s
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

// item writes one thing of a listing; false means that nobody reads any more.
func (s *stream) item(v any) bool {
	return s.line(struct {
		Item any `json:"item"`
	}{v}) == nil
}

func (s *stream) line(v any) error {
	err := s.enc.Encode(v)
	if err == nil && time.Since(s.flushed) >= flushEvery {
		err = s.flush()
	}
	return err
}

func (s *stream) flush() error {
	s.flushed = time.Now()
	if err := s.buf.Flush(); err != nil {
		return err
	}
	return s.rc.Flush()
}

// end writes the last line. There is nobody left to tell of a failure to write it: the client finds a stream cut off.
func (s *stream) end(total *Total, err error) error {
	last := Line{Total: total}
	if err != nil {
		last = Line{Error: asError(err)}
	}
	if s.line(last) == nil {
		s.flush()
	}
	return nil
}
