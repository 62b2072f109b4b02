package beat

import (
	"bufio"
	"math"
	"net"
	"sync"
	"time"

	"github.com/postroad/postroad/cluster/wire"
)

// speakers are the members that send frames of heartbeats, and with that tell how long they count
// on an answer.
type speakers struct {
	clock func() int64 // the process's
	mu    sync.Mutex
	over  bool
	conns map[net.Conn]struct{}
	open  map[uint16]int // connections
	// counts as one, after its last connection went, until then on the process's clock
	until map[uint16]int64
	holds map[uint16]time.Duration // how long it counts on an answer, as it said last
}

func newSpeakers(clock func() int64) speakers {
	return speakers{
		clock: clock,
		conns: map[net.Conn]struct{}{},
		open:  map[uint16]int{},
		until: map[uint16]int64{},
		holds: map[uint16]time.Duration{},
	}
}

// speakerStays is for how long a member counts as a speaker after its last connection has gone. A
// frame that it sent before may still come in. Should it be started again as a version that does
// not speak, it is silent for longer than this before it can lead.
const speakerStays = time.Second

func (s *speakers) enter(c net.Conn, member uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		c.Close()
	}
	s.conns[c] = struct{}{}
	s.open[member]++
}

func (s *speakers) leave(c net.Conn, member uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if s.open[member]--; s.open[member] == 0 {
		delete(s.open, member)
		s.until[member] = s.clock() + int64(speakerStays)
	}
}

func (s *speakers) says(member uint16, hold time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holds[member] = hold
}

// hold returns how long a member counts on an answer; false: it does not say.
func (s *speakers) hold(member uint16) (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	hold, ok := s.holds[member]
	return hold, ok && (s.open[member] > 0 || s.clock() < s.until[member])
}

// first returns the lowest number of those that have a connection; none: the highest there is.
func (s *speakers) first() uint16 {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := uint16(math.MaxUint16)
	for member := range s.open {
		first = min(first, member)
	}
	return first
}

func (s *speakers) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	for c := range s.conns {
		c.Close()
	}
}

// accept takes the connections of members that lead groups. It ends with the stream.
func (b *Beats) accept() {
	for {
		c, err := b.stream.Accept()
		if err != nil {
			return
		}
		b.hearing.Go(func() { // counted before the accept loop is over
			peer, _ := wire.PeerOf(c)
			b.speakers.enter(c, peer.Member)
			defer b.speakers.leave(c, peer.Member)
			defer c.Close()
			b.answer(c, peer.Member)
		})
	}
}

// answer answers a leader's frames until the connection ends.
func (b *Beats) answer(c net.Conn, leader uint16) {
	r := bufio.NewReader(c)
	var in, out []byte
	var asks []Ask
	var answers []Answer
	hear := b.opts.Hear(leader)
	for !b.isClosing() {
		body, err := readFrame(r, &in)
		if err != nil {
			return
		}
		var hold time.Duration
		if hold, asks, err = parseAsks(body, asks[:0]); err != nil {
			b.opts.Logf("heartbeats of member %d: %v", leader, err)
			return
		}
		b.speakers.says(leader, hold)
		b.keepStep(leader)
		answers = answers[:0]
		for _, a := range asks {
			answers = append(answers, hear(a, hold))
		}
		if c.SetWriteDeadline(time.Now().Add(patience)) != nil ||
			writeFrame(c, &out, func(b []byte) []byte { return appendAnswers(b, answers) }) != nil {
			return
		}
	}
}

// keepStep has the next frames go out now if that member is the one to keep in step with.
func (b *Beats) keepStep(member uint16) {
	if member > b.opts.Member || member != b.speakers.first() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.to {
		select {
		case l.step <- struct{}{}:
		default:
		}
	}
}
