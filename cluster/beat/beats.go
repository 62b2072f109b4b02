// Package beat carries the heartbeats of all groups that a node leads to each other member in one
// frame, over a connection of their own, so that no large request is before them. It knows no raft:
// who leads, and what a heartbeat does, is package cluster's. ../DESIGN.md says what rests on it.
package beat

import (
	"errors"
	"sync"
	"time"

	"github.com/postroad/postroad/cluster/wire"
)

// Share is how many frames go to a member in a heartbeat timeout.
const Share = 6

// Options of the heartbeats of one node. All must be set.
type Options struct {
	Member  uint16        // this one
	Timeout time.Duration // how long this node counts on an answer: the heartbeat timeout
	// Now is the process's clock, in nanoseconds, which leases are measured with.
	Now func() int64
	// Hear returns what takes the heartbeats that come from a member, over one connection.
	Hear func(leader uint16) Hearer
	Logf func(format string, args ...any)
}

// Hearer takes a heartbeat that its sender counts on for so long, at once. It is called by one
// goroutine.
type Hearer func(ask Ask, hold time.Duration) Answer

// Group is a group that this node leads. Its methods are called by several goroutines, and do not
// wait.
type Group interface {
	ID() uint64
	// Leads reports whether this node leads the group, by what raft says, in that term.
	Leads(term uint64) bool
	// Stopped is closed when the group's part in raft ends.
	Stopped() <-chan struct{}
	// Answered hears of each answer to a heartbeat of that term, and when that was sent.
	Answered(member uint16, term uint64, a Answer, sent int64)
	// Took hears, after the call that waits for it has the answer, that a member follows. every is
	// the time from one frame to the next, in nanoseconds.
	Took(now, every int64)
	// Unheard hears that a frame was not answered.
	Unheard()
}

var (
	// ErrOlder: the member is of a version that knows no frames; raft's own heartbeats are for it.
	ErrOlder = errors.New("this member gets raft's own heartbeats")
	// ErrAway: the member cannot answer for the group.
	ErrAway = errors.New("the member does not take part in the group, or cannot say now")

	errOver   = errors.New("another term has begun")
	errClosed = errors.New("this node, or the group on it, is stopping")
)

// Beats are the heartbeats of one node: those that it sends, and those that it hears. They are safe
// for use by several goroutines.
type Beats struct {
	opts     Options
	stream   *wire.Stream
	speakers speakers
	hearing  sync.WaitGroup
	closing  chan struct{}

	mu sync.Mutex
	to map[uint16]*Link // by member
}

// New returns the heartbeats of a node that has heard and sent none. They go over stream; nil: this
// node reaches no others.
func New(opts Options, stream *wire.Stream) *Beats {
	b := &Beats{opts: opts, stream: stream, speakers: newSpeakers(opts.Now),
		closing: make(chan struct{}), to: map[uint16]*Link{}}
	if stream != nil {
		b.hearing.Go(b.accept)
	}
	return b
}

// Close ends it. What is being sent may wait for its member for some seconds more.
func (b *Beats) Close() {
	close(b.closing)
	if b.stream != nil {
		b.stream.Close()
	}
	b.speakers.close()
	b.hearing.Wait()
}

// Hold returns how long a member counts on an answer to its heartbeats; false: it sends no frames.
func (b *Beats) Hold(member uint16) (time.Duration, bool) { return b.speakers.hold(member) }

// every is the time from one frame to the next, in nanoseconds.
func (b *Beats) every() int64 { return int64(b.opts.Timeout / Share) }

func (b *Beats) isClosing() bool {
	select {
	case <-b.closing:
		return true
	default:
		return false
	}
}
