package load

import "errors"

var (
	errUnasked = errors.New("the server sent a reply that nobody asked for")
	errEarly   = errors.New("the server replied in the midst of the data")
)

// piece is the most of a content that is written at a time; the next is written when the socket has
// taken it.
const piece = 56 << 10

// write writes as much of m's content as is to be written now.
func (s *session) write(m *message) {
	s.writing = nil
	if s.bdat() {
		s.writeChunks(m)
	} else {
		s.writeData(m)
	}
}

// writeData writes a piece of the content as DATA carries it.
func (s *session) writeData(m *message) {
	size := m.content.wireSize()
	n := min(size-m.pos, piece)
	s.o.out = m.content.append(s.o.out, m.number, m.pos, n, true)
	if m.pos += n; m.pos < size {
		s.writing = m
		return
	}
	s.o.out = append(s.o.out, ".\r\n"...)
	s.dataEnded(m)
}

func (s *session) dataEnded(m *message) { m.ended, m.dataEnd = true, s.now }

// writeChunks writes BDAT chunks (RFC 3030 2): with pipelining as many as a piece holds, else up to
// the end of one, whose reply is then awaited.
func (s *session) writeChunks(m *message) {
	size := m.content.size()
	for room := piece; ; {
		if m.pos == m.chunkEnd {
			s.chunk(m, size)
		}
		n := min(m.chunkEnd-m.pos, room)
		s.o.out = m.content.append(s.o.out, m.number, m.pos, n, false)
		m.pos += n
		room -= n
		switch {
		case m.pos == size:
			s.dataEnded(m)
			return
		case m.pos == m.chunkEnd && s.pipelining() == PipelineOff:
			return // its reply brings us back
		case room == 0:
			s.writing = m
			return
		}
	}
}

// chunk writes the command of the next chunk.
func (s *session) chunk(m *message, size int) {
	n := size - m.pos
	if s.p.o.Chunk > 0 {
		n = min(n, s.p.o.Chunk)
	}
	m.chunkEnd = m.pos + n
	m.chunks++
	s.o.out = append(s.o.out, "BDAT "...)
	s.number(n)
	if m.chunkEnd == size {
		s.o.out = append(s.o.out, " LAST"...)
	}
	s.o.out = append(s.o.out, "\r\n"...)
}
