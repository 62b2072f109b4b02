package beat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// A frame of heartbeats is its length in four octets, big-endian, and a body: the version, an
// octet, and numbers, which are uvarints. The question says how long the leader counts on its
// answers, in milliseconds, how many groups follow, and of each its number and the leader's term.
// The answer says how many, and of each, in the order of the question, a State, the member's
// term and its newest entry.

const (
	version  = 1
	maxFrame = 1 << 20 // octets of a body: of some 50,000 groups
)

// State is what a member makes of one group's heartbeat.
type State byte

const (
	Away    State = iota // it takes no part in the group, or cannot say now
	Taken                // it follows this leader
	Refused              // it knows a newer term
	states
)

// Ask is the heartbeat of one group.
type Ask struct{ Group, Term uint64 }

// Answer is what a member says to one.
type Answer struct {
	State         State
	Term, LastLog uint64
}

var errMalformed = errors.New("malformed frame of heartbeats")

func appendAsks(b []byte, hold time.Duration, asks []Ask) []byte {
	b = binary.AppendUvarint(append(b, version), uint64(hold.Milliseconds()))
	b = binary.AppendUvarint(b, uint64(len(asks)))
	for _, a := range asks {
		b = binary.AppendUvarint(binary.AppendUvarint(b, a.Group), a.Term)
	}
	return b
}

// parseAsks appends the heartbeats of a question to asks.
func parseAsks(b []byte, asks []Ask) (hold time.Duration, _ []Ask, err error) {
	p := parser{b: b}
	p.head()
	ms, n := p.number(), p.count(2)
	for range n {
		asks = append(asks, Ask{p.number(), p.number()})
	}
	if ms > uint64(time.Minute.Milliseconds()) {
		p.bad = true
	}
	return time.Duration(ms) * time.Millisecond, asks, p.end()
}

func appendAnswers(b []byte, answers []Answer) []byte {
	b = binary.AppendUvarint(append(b, version), uint64(len(answers)))
	for _, a := range answers {
		b = binary.AppendUvarint(binary.AppendUvarint(append(b, byte(a.State)), a.Term), a.LastLog)
	}
	return b
}

// parseAnswers appends what is answered to answers.
func parseAnswers(b []byte, answers []Answer) ([]Answer, error) {
	p := parser{b: b}
	p.head()
	for range p.count(3) {
		a := Answer{State(p.octet()), p.number(), p.number()}
		p.bad = p.bad || a.State >= states
		answers = append(answers, a)
	}
	return answers, p.end()
}

// parser reads a body. After what is malformed everything is 0.
type parser struct {
	b   []byte
	bad bool
}

func (p *parser) head() { p.bad = p.octet() != version || p.bad }

func (p *parser) octet() byte {
	if len(p.b) == 0 {
		p.bad = true
		return 0
	}
	v := p.b[0]
	p.b = p.b[1:]
	return v
}

func (p *parser) number() uint64 {
	v, n := binary.Uvarint(p.b)
	if n <= 0 {
		p.bad, p.b = true, nil
		return 0
	}
	p.b = p.b[n:]
	return v
}

// count reads how many follow, of at least so many octets each.
func (p *parser) count(least int) int {
	n := p.number()
	if n > uint64(len(p.b)/least) {
		p.bad = true
		return 0
	}
	return int(n)
}

func (p *parser) end() error {
	if p.bad || len(p.b) > 0 {
		return errMalformed
	}
	return nil
}

// writeFrame writes a frame in one piece; body makes it, behind what it is given. The buffer is
// used again.
func writeFrame(w io.Writer, buf *[]byte, body func([]byte) []byte) error {
	b := body(append((*buf)[:0], 0, 0, 0, 0))
	*buf = b
	if len(b)-4 > maxFrame {
		return fmt.Errorf("heartbeats of %d octets, where %d are allowed", len(b)-4, maxFrame)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	_, err := w.Write(b)
	return err
}

// readFrame reads a frame and returns its body, which is valid until buf is used again.
func readFrame(r io.Reader, buf *[]byte) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrame {
		return nil, fmt.Errorf("%w: %d octets, where %d are allowed", errMalformed, n, maxFrame)
	}
	if cap(*buf) < int(n) {
		*buf = make([]byte, n)
	}
	b := (*buf)[:n]
	_, err := io.ReadFull(r, b)
	return b, err
}
