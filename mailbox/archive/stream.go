package archive

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/postroad/postroad/mailbox"
)

// A stream is a line of JSON for each message, followed by its octets, and a last line that says
// how many there were.

type head struct {
	Folder string        `json:"folder,omitempty"`
	Flags  mailbox.Flags `json:"flags,omitempty"`
	Date   int64         `json:"date,omitempty"` // milliseconds since 1970
	Size   *int64        `json:"size,omitempty"` // nil: a folder
	End    *int64        `json:"end,omitempty"`  // messages; nothing follows
}

// StreamWriter writes a stream.
type StreamWriter struct {
	w   *bufio.Writer
	enc *json.Encoder
	n   int64
}

// NewStreamWriter returns a writer of a stream.
func NewStreamWriter(w io.Writer) *StreamWriter {
	b := bufio.NewWriterSize(w, 64<<10)
	return &StreamWriter{w: b, enc: json.NewEncoder(b)}
}

// Folder implements Writer.
func (s *StreamWriter) Folder(name string) error { return s.enc.Encode(head{Folder: name}) }

// Write implements Writer.
func (s *StreamWriter) Write(m *Message) error {
	if err := s.Begin(m, int64(len(m.Content))); err != nil {
		return err
	}
	_, err := s.w.Write(m.Content)
	return err
}

// Begin writes what precedes the octets of a message of that size, which are copied next.
func (s *StreamWriter) Begin(m *Message, size int64) error {
	s.n++
	return s.enc.Encode(
		head{Folder: m.Folder, Flags: m.Flags, Date: m.Date.UnixMilli(), Size: &size},
	)
}

// Copy copies the octets after Begin.
func (s *StreamWriter) Copy(r io.Reader) error {
	_, err := io.Copy(s.w, r)
	return err
}

// Close implements Writer.
func (s *StreamWriter) Close() error {
	return errors.Join(s.enc.Encode(head{End: &s.n}), s.w.Flush())
}

// StreamReader reads a stream.
type StreamReader struct {
	r *bufio.Reader
	n int64
	// OnFolder hears of each folder before its messages; nil: nobody does.
	OnFolder func(name string) error
	buf      []byte
}

// NewStreamReader returns a reader of a stream.
func NewStreamReader(r io.Reader) *StreamReader {
	return &StreamReader{r: bufio.NewReaderSize(r, 64<<10)}
}

// maxHead bounds a line in octets.
const maxHead = 8 << 10

func (s *StreamReader) head() (h head, err error) {
	line, err := s.r.ReadSlice('\n')
	if err == nil && len(line) > maxHead {
		err = bufio.ErrBufferFull
	}
	if err == nil {
		err = json.Unmarshal(line, &h)
	} else if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return h, fmt.Errorf("the stream of messages was cut off, or is none: %w", err)
	}
	return h, nil
}

// Next implements Reader.
func (s *StreamReader) Next() (*Message, error) {
	for {
		h, err := s.head()
		switch {
		case err != nil:
			return nil, err
		case h.End != nil && *h.End != s.n:
			return nil, fmt.Errorf("the stream has %d messages and says %d", s.n, *h.End)
		case h.End != nil:
			return nil, io.EOF
		case h.Size != nil:
			return s.message(&h)
		}
		if s.OnFolder != nil {
			if err := s.OnFolder(h.Folder); err != nil {
				return nil, err
			}
		}
	}
}

func (s *StreamReader) message(h *head) (*Message, error) {
	if *h.Size < 0 || *h.Size > MaxMessage {
		return nil, errTooLarge
	}
	var err error
	if s.buf, err = readSome(s.buf[:0], s.r, *h.Size); err != nil {
		return nil, fmt.Errorf("the stream of messages was cut off: %w", err)
	}
	s.n++
	return &Message{
		Folder:  h.Folder,
		Flags:   h.Flags,
		Date:    time.UnixMilli(h.Date),
		Content: s.buf,
	}, nil
}

// readSome appends exactly so many octets. Memory grows with what has come, not with what was
// promised.
func readSome(b []byte, r io.Reader, size int64) ([]byte, error) {
	for size > 0 {
		n := int(min(size, 1<<20))
		b = append(b, make([]byte, n)...)
		if _, err := io.ReadFull(r, b[len(b)-n:]); err == io.EOF {
			return b, io.ErrUnexpectedEOF
		} else if err != nil {
			return b, err
		}
		size -= int64(n)
	}
	return b, nil
}
