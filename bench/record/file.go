package record

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// The file form:
//
//	"postroad-record 2 sent\n" or "postroad-record 2 received\n"
//	the epoch: microseconds since 1970 UTC, 8 octets, big end first
//	entries, each with its length as a varint in front (encode.go)
//	a length of 0, and the number of entries as a varint: the writer came to its end

const (
	kindSent     = "sent"
	kindReceived = "received"
	magic        = "postroad-record 2 "
	maxEntry     = 16 << 20
)

// ErrTruncated says that a record has no end: its writer was killed, and what it had in memory is
// missing.
var ErrTruncated = errors.New(
	"the record has no end: its writer was killed, and the last entries may be missing")

// ErrKind says that a file is no record, or one of the other kind.
var ErrKind = errors.New("this is no record of messages")

func (l *log) headLocked() []byte {
	b := append([]byte(magic+l.kind), '\n')
	return binary.BigEndian.AppendUint64(b, uint64(l.mu.epoch.UnixMicro()))
}

func (l *log) tailLocked() []byte {
	return binary.AppendUvarint([]byte{0}, uint64(l.mu.n))
}

// Stream has all entries go to w, now and from now on; they are no longer kept in memory. The last
// ones go when Finish is called. Each entry is written whole by one Write, together with others.
func (l *log) Stream(w io.Writer) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := w.Write(l.headLocked()); err != nil {
		return fmt.Errorf("writing the record: %w", err)
	}
	l.mu.out = w
	return l.flushLocked()
}

// Flush writes what waits for its block to be full.
func (l *log) Flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.flushLocked()
}

// Finish writes the rest and the end of a log that was given a Stream. Its error is the first of
// the file's. Nothing may be added afterwards.
func (l *log) Finish() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.out == nil {
		return nil
	}
	if err := l.flushLocked(); err != nil {
		return err
	}
	return l.writeLocked(l.tailLocked())
}

// flushLocked writes all blocks and keeps an empty one. After an error nothing more is written.
func (l *log) flushLocked() error {
	if l.mu.out == nil || len(l.mu.blocks) == 0 {
		return l.mu.err
	}
	for _, b := range l.mu.blocks {
		if err := l.writeLocked(b); err != nil {
			return err
		}
	}
	l.mu.blocks = append(l.mu.blocks[:0], l.mu.blocks[len(l.mu.blocks)-1][:0])
	l.mu.octets = 0
	return nil
}

func (l *log) writeLocked(p []byte) error {
	if l.mu.err == nil && len(p) > 0 {
		if _, err := l.mu.out.Write(p); err != nil {
			l.mu.err = fmt.Errorf("writing the record: %w", err)
		}
	}
	return l.mu.err
}

// WriteTo writes what is in memory to w, in the file form.
func (l *log) WriteTo(w io.Writer) (n int64, err error) {
	l.mu.Lock()
	parts := [][]byte{l.headLocked()}
	parts = append(append(parts, l.mu.blocks...), l.tailLocked())
	l.mu.Unlock()
	for _, p := range parts {
		k, err := w.Write(p)
		n += int64(k)
		if err != nil {
			return n, fmt.Errorf("writing the record: %w", err)
		}
	}
	return n, nil
}

// ReadSent reads a generator's record. With ErrTruncated, the log has what there is.
func ReadSent(r io.Reader) (*SentLog, error) {
	l := NewSentLog()
	var s Sent
	return l, l.read(r, s.decode)
}

// ReadReceived reads a receiving server's record. With ErrTruncated, the log has what there is.
func ReadReceived(r io.Reader) (*ReceivedLog, error) {
	l := NewReceivedLog()
	var e Received
	return l, l.read(r, e.decode)
}

func (l *log) read(r io.Reader, check func([]byte, time.Time) error) error {
	in := bufio.NewReaderSize(r, 64<<10)
	line, err := in.ReadString('\n')
	if want := magic + l.kind + "\n"; err != nil || line != want {
		return fmt.Errorf("%w %s: it begins with %.40q", ErrKind, l.kind, line)
	}
	var epoch [8]byte
	if _, err := io.ReadFull(in, epoch[:]); err != nil {
		return ErrTruncated
	}
	l.mu.epoch = time.UnixMicro(int64(binary.BigEndian.Uint64(epoch[:])))
	var entry []byte
	for {
		size, err := binary.ReadUvarint(in)
		switch {
		case err != nil:
			return truncated(err)
		case size == 0:
			return l.readEnd(in)
		case size > maxEntry:
			return fmt.Errorf("entry %d of the record: %w", l.Len()+1, errEntry)
		}
		if entry, err = readEntry(in, entry[:0], int(size)); err != nil {
			return truncated(err)
		}
		if err := check(entry, l.mu.epoch); err != nil {
			return fmt.Errorf("entry %d of the record: %w", l.Len()+1, err)
		}
		if err := l.add(func(b []byte, _ time.Time) []byte {
			return append(b, entry...)
		}); err != nil {
			return fmt.Errorf("entry %d of the record: %w", l.Len()+1, err)
		}
	}
}

// readEntry takes memory as the octets come, so that a damaged length costs nothing.
func readEntry(in *bufio.Reader, b []byte, size int) ([]byte, error) {
	for len(b) < size {
		n := min(size-len(b), 64<<10)
		b = append(b, make([]byte, n)...)
		if _, err := io.ReadFull(in, b[len(b)-n:]); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// readEnd compares the number of entries with what the writer says.
func (l *log) readEnd(in *bufio.Reader) error {
	n, err := binary.ReadUvarint(in)
	if err != nil {
		return truncated(err)
	}
	if n != uint64(l.Len()) {
		return fmt.Errorf("the record has %d entries and says that there are %d", l.Len(), n)
	}
	return nil
}

func truncated(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrTruncated
	}
	return fmt.Errorf("reading the record: %w", err)
}
