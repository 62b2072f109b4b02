package cluster

import "sync/atomic"

// raft wants to hear of answers to heartbeats for its own look at whether it leads. It asks again
// by itself after a random time, which would be a wake-up of its own for each group and member. So
// while a group is calm the first answer to each frame has raft ask (nudge). It hears what the
// others answered to the same frame, or are about to. The lease rests on all answers.

// telling is when raft was made to ask last, on the process's clock.
type telling struct{ at atomic.Int64 }

// due reports whether raft is to ask now, and takes down that it does. frame is the time from one
// to the next; they do not come to the millisecond.
func (t *telling) due(now, frame int64) bool {
	last := t.at.Load()
	return now-last > frame/2 && t.at.CompareAndSwap(last, now)
}
