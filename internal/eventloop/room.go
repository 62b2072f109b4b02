package eventloop

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"
)

// crowdedAt is the part of MaxConnections, in eighths, above which those who accept are told to
// make room.
const crowdedAt = 7

// crowded reports whether there is little room left.
func (e *Engine) crowded() bool {
	return e.active.Load() > int64(e.o.MaxConnections)*crowdedAt/8
}

// Room makes room for new connections by ending those whose peers have said nothing for longest. So
// whoever holds many connections without a word loses them to those who talk, and nobody else does:
// time-outs may be as long as a protocol wants them.
//
// It looks at all connections of the engine, and so not more often than every pause. Nothing is
// counted or sorted while there is room. Safe for use by several goroutines.
type Room struct {
	e       *Engine
	silence func(Handler) (d time.Duration, ok bool)
	end     func(Handler)
	looked  atomic.Int64 // nanoseconds since e.started
	ended   atomic.Uint64
}

const (
	roomPause = 100 * time.Millisecond
	// roomShare is the part of a loop's connections that one look may end.
	roomShare = 16
	// roomGrace is the silence that everybody may keep: a greeting and its answer cross the world
	// in less.
	roomGrace = 2 * time.Second
)

// NewRoom returns a Room. silence says how long the peer of a connection has said nothing that
// counts, and whether it may be ended for that; end says the last words and has it dropped. Both
// are called on the connection's loop.
func (e *Engine) NewRoom(
	silence func(Handler) (d time.Duration, ok bool), end func(Handler),
) *Room {
	r := &Room{e: e, silence: silence, end: end}
	r.looked.Store(int64(-roomPause))
	return r
}

// Make ends, soon, the connections that have been silent for longest: a sixteenth of those that
// there are.
func (r *Room) Make() {
	now, last := int64(time.Since(r.e.started)), r.looked.Load()
	if now-last < int64(roomPause) || !r.looked.CompareAndSwap(last, now) {
		return
	}
	for _, l := range r.e.loops() {
		l.post(task{f: func() { r.on(l) }})
	}
}

// Ended returns how many connections had to go; none of a Room that is nil.
func (r *Room) Ended() uint64 {
	if r == nil {
		return 0
	}
	return r.ended.Load()
}

type silent struct {
	c *Conn
	d time.Duration
}

// on makes room on one loop.
func (r *Room) on(l *loop) {
	var found []silent
	for c := l.conns; c != nil; c = c.next {
		if c.state != stateOpen || c.closing || c.err != nil || c.h == nil {
			continue
		}
		if d, ok := r.silence(c.h); ok && d >= r.e.o.roomGrace {
			found = append(found, silent{c, d})
		}
	}
	slices.SortFunc(found, func(a, b silent) int { return cmp.Compare(b.d, a.d) })
	for _, s := range found[:min(len(found), max(1, l.open/roomShare))] {
		r.ended.Add(1)
		l.run(task{c: s.c, f: func() { r.end(s.c.h) }})
	}
}
