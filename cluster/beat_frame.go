package cluster

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
// The answer says how many, and of each, in the order of the question, a beatState, the member's
// term and its newest entry.

const (
	beatVersion  = 1
	maxBeatFrame = 1 << 20 // octets of a body: of some 50,000 groups
)

// beatState is what a member makes of one group's heartbeat.
type beatState byte

const (
	beatAway    beatState = iota // it takes no part in the group, or cannot say now
	beatTaken                    // it follows this leader
	beatRefused                  // it knows a newer term
	beatStates
)

// beatAsk is the heartbeat of one group.
type beatAsk struct{ group, term uint64 }

// beatAnswer is what a member says to one.
type beatAnswer struct {
	state         beatState
	term, lastLog uint64
}

var errBadBeat = errors.New("malformed frame of heartbeats")

func appendBeatAsks(b []byte, hold time.Duration, asks []beatAsk) []byte {
	b = binary.AppendUvarint(append(b, beatVersion), uint64(hold.Milliseconds()))
	b = binary.AppendUvarint(b, uint64(len(asks)))
	for _, a := range asks {
		b = binary.AppendUvarint(binary.AppendUvarint(b, a.group), a.term)
	}
	return b
}

// parseBeatAsks appends the heartbeats of a question to asks.
func parseBeatAsks(b []byte, asks []beatAsk) (hold time.Duration, _ []beatAsk, err error) {
	p := beatParser{b: b}
	p.version()
	ms, n := p.number(), p.count(2)
	for range n {
		asks = append(asks, beatAsk{p.number(), p.number()})
	}
	if ms > uint64(time.Minute.Milliseconds()) {
		p.bad = true
	}
	return time.Duration(ms) * time.Millisecond, asks, p.end()
}

func appendBeatAnswers(b []byte, answers []beatAnswer) []byte {
	b = binary.AppendUvarint(append(b, beatVersion), uint64(len(answers)))
	for _, a := range answers {
		b = binary.AppendUvarint(binary.AppendUvarint(append(b, byte(a.state)), a.term), a.lastLog)
	}
	return b
}

// parseBeatAnswers appends what is answered to answers.
func parseBeatAnswers(b []byte, answers []beatAnswer) ([]beatAnswer, error) {
	p := beatParser{b: b}
	p.version()
	for range p.count(3) {
		a := beatAnswer{beatState(p.octet()), p.number(), p.number()}
		p.bad = p.bad || a.state >= beatStates
		answers = append(answers, a)
	}
	return answers, p.end()
}

// beatParser reads a body. After what is malformed everything is 0.
type beatParser struct {
	b   []byte
	bad bool
}

func (p *beatParser) version() { p.bad = p.octet() != beatVersion || p.bad }

func (p *beatParser) octet() byte {
	if len(p.b) == 0 {
		p.bad = true
		return 0
	}
	v := p.b[0]
	p.b = p.b[1:]
	return v
}

func (p *beatParser) number() uint64 {
	v, n := binary.Uvarint(p.b)
	if n <= 0 {
		p.bad, p.b = true, nil
		return 0
	}
	p.b = p.b[n:]
	return v
}

// count reads how many follow, of at least so many octets each.
func (p *beatParser) count(least int) int {
	n := p.number()
	if n > uint64(len(p.b)/least) {
		p.bad = true
		return 0
	}
	return int(n)
}

func (p *beatParser) end() error {
	if p.bad || len(p.b) > 0 {
		return errBadBeat
	}
	return nil
}

// writeBeat writes a frame in one piece; body makes it, behind what it is given. The buffer is used
// again.
func writeBeat(w io.Writer, buf *[]byte, body func([]byte) []byte) error {
	b := body(append((*buf)[:0], 0, 0, 0, 0))
	*buf = b
	if len(b)-4 > maxBeatFrame {
		return fmt.Errorf("heartbeats of %d octets, where %d are allowed", len(b)-4, maxBeatFrame)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	_, err := w.Write(b)
	return err
}

// readBeat reads a frame and returns its body, which is valid until buf is used again.
func readBeat(r io.Reader, buf *[]byte) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxBeatFrame {
		return nil, fmt.Errorf("%w: %d octets, where %d are allowed", errBadBeat, n, maxBeatFrame)
	}
	if cap(*buf) < int(n) {
		*buf = make([]byte, n)
	}
	b := (*buf)[:n]
	_, err := io.ReadFull(r, b)
	return b, err
}
