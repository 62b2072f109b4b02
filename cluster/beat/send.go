package beat

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/internal/clock"
)

// raft asks for heartbeats of its groups one by one, as ever; each waits for a frame that is
// answered. A group is in every frame for as long as raft, which asks again and again, leads it in
// that term.
//
// A member of a version before that knows no frames refuses the connection: it gets raft's own
// heartbeats.

const (
	// part of a frame's interval: how much later a member's own time is
	stepLate  = 16
	stepEarly = 4 // the same: how much earlier it may send to be in step
	// part of a frame's interval for which raft may still hear of an answer
	fresh = 4
	// how long a member that refused the connection gets raft's own heartbeats
	retry    = 5 * time.Second
	patience = 3 * time.Second // for a connection, and for the answer to one frame
)

// Link sends the heartbeats to one member.
type Link struct {
	of    *Beats
	to    uint16
	older atomic.Int64  // until then it gets raft's own, on the process's clock
	links atomic.Uint64 // connections that began and ended; odd: there is one
	mu    sync.Mutex
	kick  chan struct{}
	step  chan struct{}    // whom this node keeps in step with has sent a frame
	led   map[uint64]*beat // by group
}

// beat is what raft wants to have said for one group.
type beat struct {
	g      Group
	term   uint64
	asked  int64       // when raft asked last
	answer chan result // of the call that waits, nil: none does
	last   Answer      // that no call has had
	read   int64       // when that came in
}

type result struct {
	Answer
	err error
}

// To returns what sends to a member.
func (b *Beats) To(member uint16) *Link {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.to[member]
	if l == nil {
		l = &Link{of: b, to: member, kick: make(chan struct{}, 1), step: make(chan struct{}, 1),
			led: map[uint64]*beat{}}
		b.to[member] = l
		// ends soon after the node closes; it may be waiting for a member that does not answer
		go l.run()
	}
	return l
}

// Connection returns a number that each connection to the member has alone; 0: there is none.
func (l *Link) Connection() uint64 {
	if n := l.links.Load(); n%2 == 1 {
		return n
	}
	return 0
}

// Older reports whether the member is of a version that knows no frames.
func (l *Link) Older() bool { return l.of.opts.Now() < l.older.Load() }

// Asked returns when an answer for a group was asked for last, on the process's clock; 0: the group
// is not in the frames.
func (l *Link) Asked(group uint64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.led[group]; t != nil {
		return t.asked
	}
	return 0
}

// Ask waits for an answer to a heartbeat of the group. ErrOlder: there will be none.
func (l *Link) Ask(g Group, term uint64) (Answer, error) {
	if l.Older() {
		return Answer{}, ErrOlder
	}
	c := make(chan result, 1)
	l.mu.Lock()
	t := l.led[g.ID()]
	if t == nil {
		t = new(beat)
		l.led[g.ID()] = t
	} else if t.answer != nil {
		t.answer <- result{err: errOver}
	}
	now := l.of.opts.Now()
	if t.term == term && t.read > 0 && now-t.read < l.of.every()/fresh {
		t.asked, t.read = now, 0
		last := t.last
		l.mu.Unlock()
		return last, nil
	}
	*t = beat{g: g, term: term, asked: now, answer: c}
	l.mu.Unlock()
	select {
	case l.kick <- struct{}{}:
	default:
	}
	select {
	case r := <-c:
		return r.Answer, r.err
	case <-g.Stopped():
		return Answer{}, errClosed
	case <-l.of.closing:
		return Answer{}, errClosed
	}
}

// run sends for as long as the node runs.
func (l *Link) run() {
	var c *conn
	defer func() { c.close() }()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		asks, groups := l.collect()
		if len(asks) == 0 {
			select {
			case <-l.kick:
				continue
			case <-l.of.closing:
				return
			}
		}
		sent := l.of.opts.Now()
		c = l.exchange(c, asks, groups)
		if !l.rest(timer, sent) {
			return
		}
	}
}

// rest waits until it is time for the next frame; false: the node closes. A node that is idle is to
// wake once for all that it sends and hears. So frames go to all members at the same time, and as
// soon as one has come from the first of the members that send some; its own time is a little
// later. Periodic looks happen in the same wake-up (clock.Together).
func (l *Link) rest(timer *time.Timer, sent int64) bool {
	every := l.of.every()
	due := sent - sent%every + every
	if l.of.speakers.first() < l.of.opts.Member {
		due = sent + every + every/stepLate
	}
	timer.Reset(time.Duration(due - l.of.opts.Now()))
	for {
		select {
		case <-timer.C:
			clock.Beat()
			return true
		case <-l.step:
			if l.of.opts.Now()-sent > every-every/stepEarly {
				clock.Beat()
				return true
			}
		case <-l.of.closing:
			return false
		}
	}
}

// collect returns the groups that are led, and forgets those that are not any more.
func (l *Link) collect() (asks []Ask, groups []*beat) {
	l.mu.Lock()
	defer l.mu.Unlock()
	stale := l.of.opts.Now() - int64(l.of.opts.Timeout)
	for id, t := range l.led {
		if t.g.Leads(t.term) && (t.answer != nil || t.asked > stale) {
			asks, groups = append(asks, Ask{id, t.term}), append(groups, t)
			continue
		}
		t.end(result{err: errOver})
		delete(l.led, id)
	}
	return asks, groups
}

// end answers the call that waits.
func (t *beat) end(r result) {
	if t.answer != nil {
		t.answer <- r
		t.answer = nil
	}
}

// exchange sends a frame and takes its answers, and returns the connection if it is still good.
func (l *Link) exchange(c *conn, asks []Ask, groups []*beat) *conn {
	c, err := l.connected(c)
	sent := l.of.opts.Now()
	var answers []Answer
	if err == nil {
		answers, err = c.exchange(l.of.opts.Timeout, asks)
	}
	if err != nil {
		if c != nil {
			c.close()
			l.links.Add(1)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, t := range groups {
			t.g.Unheard()
			t.end(result{err: err})
		}
		return nil
	}
	for i, a := range answers {
		l.take(asks[i], groups[i], a, sent)
	}
	return c
}

// take notes what a member answered for one group.
func (l *Link) take(ask Ask, t *beat, a Answer, sent int64) {
	l.mu.Lock()
	g := t.g // a call for the next heartbeat writes the beat anew
	l.mu.Unlock()
	g.Answered(l.to, ask.Term, a, sent)
	r := result{Answer: a}
	if a.State == Away {
		r.err = ErrAway
	}
	good := a.State == Taken && a.Term == ask.Term
	now := l.of.opts.Now()
	l.mu.Lock()
	if t.term == ask.Term {
		if good && t.answer == nil {
			t.last, t.read = a, now
		}
		t.end(r)
	}
	l.mu.Unlock()
	if good {
		g.Took(now, l.of.every())
	}
}

// connected returns a connection, the one there is or a new one.
func (l *Link) connected(c *conn) (*conn, error) {
	if c != nil {
		return c, nil
	}
	dialed, err := l.of.stream.DialMember(l.to, patience)
	if err == nil {
		l.links.Add(1)
		return &conn{Conn: dialed, r: bufio.NewReader(dialed)}, nil
	}
	if errors.Is(err, wire.ErrJoinDenied) {
		l.older.Store(l.of.opts.Now() + int64(retry))
		return nil, ErrOlder
	}
	return nil, err
}

// conn is one end of a connection for heartbeats.
type conn struct {
	net.Conn
	r       *bufio.Reader
	in, out []byte
	answers []Answer
}

func (c *conn) close() {
	if c != nil {
		c.Conn.Close()
	}
}

// exchange returns the answers; they are valid until the next one.
func (c *conn) exchange(hold time.Duration, asks []Ask) ([]Answer, error) {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	if err := writeFrame(c, &c.out, func(b []byte) []byte {
		return appendAsks(b, hold, asks)
	}); err != nil {
		return nil, err
	}
	b, err := readFrame(c.r, &c.in)
	if err != nil {
		return nil, err
	}
	if c.answers, err = parseAnswers(b, c.answers[:0]); err != nil {
		return nil, err
	}
	if len(c.answers) != len(asks) {
		return nil, fmt.Errorf(
			"%w: %d answers to %d heartbeats",
			errMalformed,
			len(c.answers),
			len(asks),
		)
	}
	return c.answers, nil
}
