package archive

import (
	"bytes"
	"io"
	"slices"
)

// window reads a file and sees ahead in it as far as it is asked to. A bufio.Reader sees as far as
// its buffer only, which a body with a Content-Length does not fit into.
type window struct {
	r     io.Reader
	buf   []byte // buf[at:] was read and not taken yet
	at    int
	taken int64 // octets of the file before buf[at]
	err   error // why nothing comes after buf
}

const (
	windowStep = 64 << 10 // octets that are read at once, at least
	maxPiece   = 64 << 10 // octets of a line that are returned at once
)

// ahead returns what comes next: n octets or more, fewer only at the end of the file. It is valid
// until the next call of ahead or line.
func (w *window) ahead(n int) ([]byte, error) {
	for len(w.buf)-w.at < n && w.err == nil {
		w.fill()
	}
	if len(w.buf)-w.at < n && w.err != io.EOF {
		return nil, w.err
	}
	return w.buf[w.at:], nil
}

// fill reads once. Octets move down only when at least as many were taken, so each moves once on
// average, and memory grows with what was read, not with what was asked for.
func (w *window) fill() {
	if rest := w.buf[w.at:]; w.at >= len(rest) {
		w.buf, w.at = w.buf[:copy(w.buf, rest)], 0
	}
	w.buf = slices.Grow(w.buf, windowStep)
	n, err := w.r.Read(w.buf[len(w.buf):cap(w.buf)])
	w.buf, w.err = w.buf[:len(w.buf)+n], err
}

// line returns the next line with its LF, without taking it. A line of more than maxPiece octets
// comes in pieces. The last line of a file may lack its LF; after it the line is empty.
func (w *window) line() ([]byte, error) {
	for n := 1; ; {
		data, err := w.ahead(n)
		if err != nil {
			return nil, err
		}
		piece := data[:min(len(data), maxPiece)]
		if i := bytes.IndexByte(piece, '\n'); i >= 0 {
			return piece[:i+1], nil
		}
		if len(piece) == maxPiece || len(data) < n {
			return piece, nil
		}
		n = len(data) + 1
	}
}

// take passes over n octets that ahead or line has returned.
func (w *window) take(n int) {
	w.at += n
	w.taken += int64(n)
}
