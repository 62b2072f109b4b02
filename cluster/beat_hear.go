package cluster

import (
	"bufio"
	"errors"
	"math"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/postroad/postroad/cluster/wire"
)

// speakers are the members that send frames of heartbeats, and with that tell how long they count
// on an answer.
type speakers struct {
	mu    sync.Mutex
	over  bool
	conns map[net.Conn]struct{}
	open  map[uint16]int // connections
	// counts as one, after its last connection went, until then on the process's clock
	until map[uint16]int64
	holds map[uint16]time.Duration // how long it counts on an answer, as it said last
}

func newSpeakers() speakers {
	return speakers{
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
		s.until[member] = monotonic() + int64(speakerStays)
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
	return hold, ok && (s.open[member] > 0 || monotonic() < s.until[member])
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

// hearBeats takes the connections of members that lead groups. It ends with the stream.
func (n *Node) hearBeats(s *wire.Stream) {
	for {
		c, err := s.Accept()
		if err != nil {
			return
		}
		n.beating.Go(func() { // counted before the accept loop is over
			peer, _ := wire.PeerOf(c)
			n.speakers.enter(c, peer.Member)
			defer n.speakers.leave(c, peer.Member)
			defer c.Close()
			n.answerBeats(c, peer.Member)
		})
	}
}

// answerBeats answers a leader's frames until the connection ends.
func (n *Node) answerBeats(c net.Conn, leader uint16) {
	r := bufio.NewReader(c)
	var in, out []byte
	var asks []beatAsk
	var answers []beatAnswer
	id := serverID(leader)
	request := &raft.AppendEntriesRequest{
		RPCHeader: rpcHeader(id),
		Leader:    []byte(id),
	}
	for !n.isClosing() {
		b, err := readBeat(r, &in)
		if err != nil {
			return
		}
		var hold time.Duration
		if hold, asks, err = parseBeatAsks(b, asks[:0]); err != nil {
			n.opts.Logf("heartbeats of member %d: %v", leader, err)
			return
		}
		n.speakers.says(leader, hold)
		n.keepStep(leader)
		answers = answers[:0]
		for _, a := range asks {
			request.Term = a.term
			answers = append(answers, n.hear(a.group, request, hold))
		}
		if c.SetWriteDeadline(time.Now().Add(beatPatience)) != nil ||
			writeBeat(
				c,
				&out,
				func(b []byte) []byte { return appendBeatAnswers(b, answers) },
			) != nil {
			return
		}
	}
}

// hear has raft take one heartbeat.
func (n *Node) hear(
	group uint64,
	request *raft.AppendEntriesRequest,
	hold time.Duration,
) beatAnswer {
	n.mu.Lock()
	g := n.mu.groups[group]
	n.mu.Unlock()
	if g == nil || !g.running.Load() {
		return beatAnswer{}
	}
	answer := make(chan raft.RPCResponse, 1)
	if !g.hearing.beat(raft.RPC{Command: request, RespChan: answer}, hold) {
		return beatAnswer{}
	}
	select {
	case a := <-answer:
		r, ok := a.Response.(*raft.AppendEntriesResponse)
		switch {
		case a.Error != nil || !ok:
			return beatAnswer{}
		case !r.Success:
			return beatAnswer{beatRefused, r.Term, r.LastLog}
		}
		return beatAnswer{beatTaken, r.Term, r.LastLog}
	default: // raft is shutting down, and says nothing
		return beatAnswer{}
	}
}

func (n *Node) isClosing() bool {
	select {
	case <-n.closing:
		return true
	default:
		return false
	}
}

var errHeard = errors.New("this member has heard a leader lately")
