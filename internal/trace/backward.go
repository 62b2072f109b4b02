package trace

import (
	"bytes"
	"fmt"
	"io"
)

const (
	blockSize = 256 << 10
	maxLine   = 64 << 10 // octets; a longer line is none of maillog's
)

// backward reads lines from the end of a file to its beginning, in blocks.
type backward struct {
	r     io.ReaderAt
	at    int64  // where rest begins in the file
	rest  []byte // what was read and not returned; the beginning of space
	space []byte
	long  bool // the line that ends where rest does is too long: the rest of it is dropped
}

func newBackward(r io.ReaderAt, size int64) *backward {
	return &backward{r: r, at: size, space: make([]byte, blockSize+maxLine)}
}

// next returns the line before, without its end, good until the next call; io.EOF at the beginning
// of the file. Empty lines and lines that are too long are left out.
func (b *backward) next() ([]byte, error) {
	for {
		i := bytes.LastIndexByte(b.rest, '\n')
		if i < 0 && b.at > 0 {
			if err := b.fill(); err != nil {
				return nil, err
			}
			continue
		}
		if i < 0 && len(b.rest) == 0 {
			return nil, io.EOF
		}
		line, long := b.rest[i+1:], b.long
		b.rest, b.long = b.rest[:max(i, 0)], false
		if 0 < len(line) && len(line) <= maxLine && !long {
			return line, nil
		}
	}
}

// fill reads the block before what is left.
func (b *backward) fill() error {
	if len(b.rest) > maxLine {
		b.rest, b.long = nil, true
	}
	n := int(min(b.at, blockSize))
	copy(b.space[n:], b.rest)
	b.rest = b.space[:n+len(b.rest)]
	read, err := b.r.ReadAt(b.space[:n], b.at-int64(n))
	if err != nil && err != io.EOF {
		return fmt.Errorf("read at octet %d: %w", b.at-int64(n), err)
	}
	clear(b.space[read:n]) // somebody has cut the file
	b.at -= int64(n)
	return nil
}
