package smtpd

import (
	"sync"

	"github.com/postroad/postroad/internal/inbound"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
)

// Mail data is kept in chunks from two pools: the first is small, because most messages are, and
// the others large, so that a large message is few pieces.
const (
	smallChunk = 8 << 10
	largeChunk = 64 << 10
)

var (
	smallChunks = sync.Pool{New: func() any { return new([smallChunk]byte) }}
	largeChunks = sync.Pool{New: func() any { return new([largeChunk]byte) }}
	bodies      sync.Pool
)

func init() { bodies.New = newBody }

// body is the memory of one message on its way in: chunks, a spill file above the in-memory limit,
// and the share of the memory budget that the chunks take. It is filled on the session's loop; on
// submission it belongs to the queue, which gives it back by Content.Release.
type body struct {
	budget   *mail.Budget
	inMemory int64 // octets above which data goes to the spill file
	spillDir string
	watcher  mail.Watcher  // reads what comes; nil: nobody does
	part     *inbound.Part // of the disk, for the spill file and what is stored of it
	granted  int64         // octets that part has room for

	chunks   [][]byte // the full ones
	tail     []byte   // the chunk that is being filled
	spilling bool     // tail gathers what the spill file gets next
	spill    *mail.Spill
	size     int64
	release  func() // b.free, bound once so that a message does not allocate it
}

func newBody() any {
	b := &body{}
	b.release = b.free
	return b
}

// write appends p.
func (b *body) write(p []byte) *smtp.Failure {
	for len(p) > 0 {
		room, f := b.room()
		if f != nil {
			return f
		}
		n := copy(room, p)
		b.wrote(n)
		p = p[n:]
	}
	return nil
}

// room returns the free part of the tail, at least one octet.
func (b *body) room() ([]byte, *smtp.Failure) {
	if len(b.tail) == cap(b.tail) {
		if f := b.grow(); f != nil {
			return nil, f
		}
	}
	return b.tail[len(b.tail):cap(b.tail)], nil
}

// wrote says that n octets of the room are filled.
func (b *body) wrote(n int) {
	b.tail = b.tail[:len(b.tail)+n]
	b.size += int64(n)
}

// grow makes room at the tail.
func (b *body) grow() *smtp.Failure {
	if b.spilling {
		return b.flush()
	}
	size := int64(largeChunk)
	if b.tail == nil {
		size = smallChunk
	}
	if !b.budget.TryReserve(size) {
		return errNoMemory
	}
	if b.tail == nil {
		b.tail = smallChunks.Get().(*[smallChunk]byte)[:0]
		return nil
	}
	b.show()
	b.chunks = append(b.chunks, b.tail)
	b.tail = largeChunks.Get().(*[largeChunk]byte)[:0]
	b.spilling = b.size >= b.inMemory
	return nil
}

// flush moves the tail to the spill file. That is a write to the page cache of a file that is never
// synced.
func (b *body) flush() *smtp.Failure {
	if b.size > b.granted && !b.grant() {
		return errNoRoom
	}
	if b.spill == nil {
		spill, err := mail.NewSpill(b.spillDir)
		if err != nil {
			return errSpill.With(err)
		}
		b.spill = spill
	}
	if _, err := b.spill.Write(b.tail); err != nil {
		return errSpill.With(err)
	}
	b.show()
	b.part.Spilled(int64(len(b.tail)))
	b.tail = b.tail[:0]
	return nil
}

// show lets the watcher read the tail, which is full or the last one. It reads each octet once,
// while that is in the processor's cache.
func (b *body) show() {
	if b.watcher != nil {
		_, _ = b.watcher.Write(b.tail)
	}
}

// growStep is for how many octets more a message without a SIZE, or with one that it exceeds, asks
// for room at a time.
const growStep = 4 << 20

// grant asks for room on the disk, in steps.
func (b *body) grant() bool {
	b.granted = b.size + growStep
	if b.part.Grow(b.granted) {
		return true
	}
	b.granted = b.size
	return b.part.Grow(b.granted)
}

// finish makes the content that goes to the queue. After that the body is the content's, and free
// comes from its Release.
func (b *body) finish() (*mail.Content, *smtp.Failure) {
	if b.spilling {
		if f := b.flush(); f != nil {
			return nil, f
		}
		b.put(b.tail)
	} else if b.tail != nil {
		b.show()
		b.chunks = append(b.chunks, b.tail)
	}
	c := &mail.Content{Chunks: b.chunks, Spill: b.spill, Size: b.size, Watcher: b.watcher,
		Released: b.release}
	b.tail, b.spill, b.part, b.watcher = nil, nil, nil, nil
	return c, nil
}

// free gives everything back. After finish it may run on any goroutine.
func (b *body) free() {
	for _, c := range b.chunks {
		b.put(c)
	}
	clear(b.chunks)
	if b.tail != nil {
		b.put(b.tail)
	}
	if b.spill != nil {
		b.spill.Close()
	}
	if b.watcher != nil {
		b.watcher.Release()
	}
	*b = body{chunks: b.chunks[:0], release: b.release}
	bodies.Put(b)
}

// put gives a chunk back to its pool, and its octets to the budget.
func (b *body) put(c []byte) {
	if cap(c) == smallChunk {
		smallChunks.Put((*[smallChunk]byte)(c[:smallChunk]))
	} else {
		largeChunks.Put((*[largeChunk]byte)(c[:largeChunk]))
	}
	b.budget.Release(int64(cap(c)))
}
