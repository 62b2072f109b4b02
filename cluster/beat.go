package cluster

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/internal/clock"
)

// The heartbeats of all groups that this node leads go to a member in one frame each beatEvery,
// over a connection of their own, so that no large request is before them. raft asks for heartbeats
// of its groups one by one, as ever; each waits for a frame that is answered (telling.go). A group
// is in every frame for as long as raft, which asks again and again, leads it in that term.
//
// A member of a version before that knows no frames refuses the connection: it gets raft's own
// heartbeats.

const (
	// the number of the stream that the frames go through: the node itself
	beatStream = nodeGroup
	beatEvery  = 6 // frames in a heartbeat timeout
	// part of a frame's interval: how much later a member's own time is
	stepLate  = 16
	stepEarly = 4 // the same: how much earlier it may send to be in step
	// how long a member that refused the connection gets raft's own heartbeats
	beatRetry    = 5 * time.Second
	beatPatience = 3 * time.Second // for a connection, and for the answer to one frame
)

var (
	errNoBeats  = errors.New("this member gets raft's own heartbeats")
	errBeatAway = errors.New("the member does not take part in the group, or cannot say now")
	errBeatOver = errors.New("another term has begun")
)

// beats sends the heartbeats to one member.
type beats struct {
	n     *Node
	to    uint16
	older atomic.Int64  // until then it gets raft's own, on the process's clock
	heard atomic.Int64  // when the frame was sent that it answered last; 0: the connection is gone
	links atomic.Uint64 // connections that began and ended; odd: there is one
	mu    sync.Mutex
	kick  chan struct{}
	step  chan struct{}    // whom this node keeps in step with has sent a frame
	led   map[uint64]*beat // by group
}

// beat is what raft wants to have said for one group.
type beat struct {
	g      *Group
	term   uint64
	asked  int64           // when raft asked last
	answer chan beatResult // of the call that waits, nil: none does
	last   beatAnswer      // that no call has had
	read   int64           // when that came in
}

type beatResult struct {
	beatAnswer
	err error
}

// beatsTo returns what sends to a member.
func (n *Node) beatsTo(member uint16) *beats {
	n.sending.Lock()
	defer n.sending.Unlock()
	b := n.sending.to[member]
	if b == nil {
		b = &beats{n: n, to: member, kick: make(chan struct{}, 1), step: make(chan struct{}, 1),
			led: map[uint64]*beat{}}
		n.sending.to[member] = b
		// ends soon after the node closes; it may be waiting for a member that does not answer
		go b.run()
	}
	return b
}

// link is a number of the connection; 0: there is none.
func (b *beats) link() uint64 {
	if n := b.links.Load(); n%2 == 1 {
		return n
	}
	return 0
}

// ask waits for an answer to a heartbeat of the group. errNoBeats: there will be none.
func (b *beats) ask(g *Group, term uint64) (beatAnswer, error) {
	if monotonic() < b.older.Load() {
		return beatAnswer{}, errNoBeats
	}
	c := make(chan beatResult, 1)
	b.mu.Lock()
	t := b.led[g.id]
	if t == nil {
		t = new(beat)
		b.led[g.id] = t
	} else if t.answer != nil {
		t.answer <- beatResult{err: errBeatOver}
	}
	now := monotonic()
	if t.term == term && t.read > 0 && now-t.read < b.every()/tellFresh {
		t.asked, t.read = now, 0
		last := t.last
		b.mu.Unlock()
		return last, nil
	}
	*t = beat{g: g, term: term, asked: now, answer: c}
	b.mu.Unlock()
	select {
	case b.kick <- struct{}{}:
	default:
	}
	select {
	case r := <-c:
		return r.beatAnswer, r.err
	case <-g.stop:
		return beatAnswer{}, ErrRefused
	case <-b.n.closing:
		return beatAnswer{}, ErrRefused
	}
}

// run sends for as long as the node runs.
func (b *beats) run() {
	var conn *beatConn
	defer func() { conn.close() }()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		asks, groups := b.collect()
		if len(asks) == 0 {
			select {
			case <-b.kick:
				continue
			case <-b.n.closing:
				return
			}
		}
		sent := monotonic()
		conn = b.exchange(conn, asks, groups)
		if !b.rest(timer, sent) {
			return
		}
	}
}

// rest waits until it is time for the next frame; false: the node closes. A node that is idle is to
// wake once for all that it sends and hears. So frames go to all members at the same time, and as
// soon as one has come from the first of the members that send some; its own time is a little
// later. Periodic looks happen in the same wake-up (clock.Together).
func (b *beats) rest(timer *time.Timer, sent int64) bool {
	every := b.every()
	due := sent - sent%every + every
	if b.n.speakers.first() < b.n.member {
		due = sent + every + every/stepLate
	}
	timer.Reset(time.Duration(due - monotonic()))
	for {
		select {
		case <-timer.C:
			clock.Beat()
			return true
		case <-b.step:
			if monotonic()-sent > every-every/stepEarly {
				clock.Beat()
				return true
			}
		case <-b.n.closing:
			return false
		}
	}
}

// keepStep has the next frames go out now if that member is the one to keep in step with.
func (n *Node) keepStep(member uint16) {
	if member > n.member || member != n.speakers.first() {
		return
	}
	n.sending.Lock()
	defer n.sending.Unlock()
	for _, b := range n.sending.to {
		select {
		case b.step <- struct{}{}:
		default:
		}
	}
}

// collect returns the groups that are led, and forgets those that are not any more.
func (b *beats) collect() (asks []beatAsk, groups []*beat) {
	b.mu.Lock()
	defer b.mu.Unlock()
	stale := monotonic() - int64(b.n.opts.HeartbeatTimeout)
	for id, t := range b.led {
		leads := t.g.running.Load() && t.g.raft.State() == raft.Leader &&
			t.g.raft.CurrentTerm() == t.term
		if leads && (t.answer != nil || t.asked > stale) {
			asks, groups = append(asks, beatAsk{id, t.term}), append(groups, t)
			continue
		}
		t.end(beatResult{err: errBeatOver})
		delete(b.led, id)
	}
	return asks, groups
}

// end answers the call that waits.
func (t *beat) end(r beatResult) {
	if t.answer != nil {
		t.answer <- r
		t.answer = nil
	}
}

// exchange sends a frame and takes its answers, and returns the connection if it is still good.
func (b *beats) exchange(c *beatConn, asks []beatAsk, groups []*beat) *beatConn {
	c, err := b.connected(c)
	sent := monotonic()
	var answers []beatAnswer
	if err == nil {
		answers, err = c.exchange(b.n.opts.HeartbeatTimeout, asks)
	}
	if err != nil {
		b.heard.Store(0)
		if c != nil {
			c.close()
			b.links.Add(1)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, t := range groups {
			t.g.quiet.stir() // who was told what is known no more
			t.g.brisk()
			t.end(beatResult{err: err})
		}
		return nil
	}
	for i, a := range answers {
		b.take(asks[i], groups[i], a, sent)
	}
	b.heard.Store(sent)
	return c
}

// take notes what a member answered for one group.
func (b *beats) take(ask beatAsk, t *beat, a beatAnswer, sent int64) {
	b.mu.Lock()
	g := t.g // a call for the next heartbeat writes the beat anew
	b.mu.Unlock()
	good := a.state == beatTaken && a.term == ask.term
	if good {
		g.answered(a.term, serverID(b.to), sent, a.lastLog)
	}
	g.quiet.committed(g.raft.CommitIndex())
	r := beatResult{beatAnswer: a}
	if a.state == beatAway {
		r.err = errBeatAway
	}
	now := monotonic()
	b.mu.Lock()
	if t.term == ask.term {
		if good && t.answer == nil {
			t.last, t.read = a, now
		}
		t.end(r)
	}
	b.mu.Unlock()
	if good && g.isCalm() && g.telling.due(now, b.every()) {
		g.nudge()
	}
}

// every is the time from one frame to the next.
func (b *beats) every() int64 { return int64(b.n.opts.HeartbeatTimeout / beatEvery) }

// connected returns a connection, the one there is or a new one.
func (b *beats) connected(c *beatConn) (*beatConn, error) {
	if c != nil {
		return c, nil
	}
	conn, err := b.n.port.Stream(beatStream).DialMember(b.to, beatPatience)
	if err == nil {
		b.links.Add(1)
		return &beatConn{Conn: conn, r: bufio.NewReader(conn)}, nil
	}
	if errors.Is(err, wire.ErrJoinDenied) {
		b.older.Store(monotonic() + int64(beatRetry))
		return nil, errNoBeats
	}
	return nil, err
}

// beatConn is one end of a connection for heartbeats.
type beatConn struct {
	net.Conn
	r       *bufio.Reader
	in, out []byte
	answers []beatAnswer
}

func (c *beatConn) close() {
	if c != nil {
		c.Conn.Close()
	}
}

// exchange returns the answers; they are valid until the next one.
func (c *beatConn) exchange(hold time.Duration, asks []beatAsk) ([]beatAnswer, error) {
	if err := c.SetDeadline(time.Now().Add(beatPatience)); err != nil {
		return nil, err
	}
	if err := writeBeat(c, &c.out, func(b []byte) []byte {
		return appendBeatAsks(b, hold, asks)
	}); err != nil {
		return nil, err
	}
	b, err := readBeat(c.r, &c.in)
	if err != nil {
		return nil, err
	}
	if c.answers, err = parseBeatAnswers(b, c.answers[:0]); err != nil {
		return nil, err
	}
	if len(c.answers) != len(asks) {
		return nil, fmt.Errorf(
			"%w: %d answers to %d heartbeats",
			errBadBeat,
			len(c.answers),
			len(asks),
		)
	}
	return c.answers, nil
}
