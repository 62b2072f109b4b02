package node

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/internal/clock"
)

// Times of the questions whether a member is there.
const (
	pingEvery   = 2 * time.Second
	goneAfter   = 7 * time.Second  // without an answer
	missedAfter = 10 * time.Minute // a matter for the operator
)

// reach knows which members answer this node, since when one does not, and what each last said of
// itself. Safe for use by several goroutines.
type reach struct {
	self    uint16
	members func() []control.Member                                   // the present ones
	ask     func(ctx context.Context, member uint16) (*report, error) // how a member is
	refused func(member uint16, err error)                            // hears of each question without an answer
	raise   func(alarm)                                               // a member was missed for long, or is back

	mu    sync.Mutex
	known map[uint16]*contact
}

// contact is what is known of one member.
type contact struct {
	heard    time.Time // when it last answered any member; at first, when it was first seen
	answered time.Time // when it last answered this one; zero: never
	told     bool      // its absence was reported
	last     *report   // nil: it has not answered lately
}

// absence is a member that does not answer.
type absence struct {
	member control.Member
	since  time.Time
}

// run asks all members, at the same time, again and again.
func (r *reach) run(ctx context.Context) {
	tick := time.NewTimer(pingEvery)
	defer tick.Stop()
	for {
		r.round(ctx)
		select {
		case <-tick.C:
			tick.Reset(clock.Together(pingEvery))
		case <-ctx.Done():
			return
		}
	}
}

func (r *reach) round(ctx context.Context) {
	members := r.members()
	r.forget(members)
	var all sync.WaitGroup
	for _, m := range members {
		if m.ID == r.self {
			continue
		}
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, pingEvery)
			defer cancel()
			answer, err := r.ask(ctx, m.ID)
			if err != nil {
				answer = nil
				r.refused(m.ID, err)
			}
			r.note(m, answer)
		})
	}
	all.Wait()
}

// forget drops who is not a member any more.
func (r *reach) forget(members []control.Member) {
	present := map[uint16]*contact{}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range members {
		if c := r.known[m.ID]; c != nil {
			present[m.ID] = c
		}
	}
	r.known = present
}

// note takes a member's answer, nil when there was none.
func (r *reach) note(m control.Member, answer *report) {
	var news *alarm
	r.mu.Lock()
	now := time.Now()
	c := r.contactLocked(m.ID, now)
	if answer != nil {
		c.heard, c.answered, c.last = now, now, answer
		r.believeLocked(answer, now)
		if c.told {
			c.told = false
			news = &alarm{event: "member_back", member: m.ID, name: m.Name, calm: true, words: fmt.Sprintf("%s (member %d) is back", m.Name, m.ID)}
		}
	} else if silent := now.Sub(c.heard); silent >= goneAfter {
		c.last = nil
		if silent >= missedAfter && !c.told && m.State != control.Joining {
			c.told = true
			news = &alarm{event: "member_missing", member: m.ID, name: m.Name, since: c.heard, words: fmt.Sprintf(
				"%s (member %d) has not answered for %v: bring it back, or join a new node and run `postroad cluster replace %s NEW`",
				m.Name, m.ID, missedAfter, m.Name)}
		}
	}
	r.mu.Unlock()
	if news != nil {
		r.raise(*news)
	}
}

func (r *reach) contactLocked(member uint16, now time.Time) *contact {
	c := r.known[member]
	if c == nil {
		c = &contact{heard: now}
		r.known[member] = c
	}
	return c
}

// believeLocked takes over since when a member is missing from one that has waited for it longer,
// as after a restart of this node. Of who answers here others need not tell.
func (r *reach) believeLocked(answer *report, now time.Time) {
	for member, seconds := range answer.Silent {
		if c := r.known[member]; c != nil && now.Sub(c.heard) >= goneAfter {
			if since := now.Add(-time.Duration(seconds) * time.Second); since.Before(c.heard) {
				c.heard = since
			}
		}
	}
}

// reachable reports whether a member has answered lately.
func (r *reach) reachable(member uint16) bool {
	if member == r.self {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.known[member]
	return c == nil || time.Since(c.heard) < goneAfter
}

// absent are the members that run somewhere, or did, and have not answered for so long.
func (r *reach) absent(limit time.Duration) (all []absence) {
	members := r.members()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range members {
		if c := r.known[m.ID]; c != nil && m.State != control.Joining && time.Since(c.heard) >= limit {
			all = append(all, absence{m, c.heard})
		}
	}
	return all
}

// silent says in seconds how long each member has not answered, of those that do not.
func (r *reach) silent() map[uint16]int64 {
	seconds := map[uint16]int64{}
	for _, a := range r.absent(goneAfter) {
		seconds[a.member.ID] = int64(time.Since(a.since) / time.Second)
	}
	return seconds
}

// answered says of each member that has answered this one when it last did.
func (r *reach) answered() map[uint16]time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := map[uint16]time.Time{}
	for id, c := range r.known {
		if !c.answered.IsZero() {
			all[id] = c.answered
		}
	}
	return all
}

// reports are what the members that answer last said of themselves.
func (r *reach) reports() map[uint16]*report {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := map[uint16]*report{}
	for id, c := range r.known {
		if c.last != nil {
			all[id] = c.last
		}
	}
	return all
}
