package member

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
	PingEvery   = 2 * time.Second
	GoneAfter   = 7 * time.Second  // without an answer
	MissedAfter = 10 * time.Minute // a matter for the operator
)

// DetectorOptions are what a Detector needs. R is what a member says of itself, which the Detector
// only keeps.
type DetectorOptions[R any] struct {
	Self uint16
	// Members returns the present ones.
	Members func() []control.Member
	// Ask asks a member how it is.
	Ask func(ctx context.Context, member uint16) (*R, error)
	// Silent returns which members did not answer whoever made a report, and for how many seconds.
	Silent func(report *R) map[uint16]int64
	// Unanswered hears of each question without an answer.
	Unanswered func(member uint16, err error)
	// Alert hears of a member that was missed for long, or is back.
	Alert func(Event)
}

// Detector is the failure detector: it knows which members answer this node, since when one does
// not, and what each last said of itself. Safe for use by several goroutines.
type Detector[R any] struct {
	o DetectorOptions[R]

	mu    sync.Mutex
	known map[uint16]*contact[R]
}

// contact is what is known of one member.
type contact[R any] struct {
	heard    time.Time // when it last answered any member; at first, when it was first seen
	answered time.Time // when it last answered this one; zero: never
	alerted  bool      // its absence was reported
	last     *R        // nil: it has not answered lately
}

// Absence is a member that does not answer.
type Absence struct {
	Member control.Member
	Since  time.Time
}

// NewDetector returns a Detector that has asked nobody yet: all members count as reachable.
func NewDetector[R any](o DetectorOptions[R]) *Detector[R] {
	return &Detector[R]{o: o, known: map[uint16]*contact[R]{}}
}

// Run asks all members, at the same time, again and again, until ctx ends.
func (d *Detector[R]) Run(ctx context.Context) {
	tick := time.NewTimer(PingEvery)
	defer tick.Stop()
	for {
		d.round(ctx)
		select {
		case <-tick.C:
			tick.Reset(clock.Together(PingEvery))
		case <-ctx.Done():
			return
		}
	}
}

func (d *Detector[R]) round(ctx context.Context) {
	members := d.o.Members()
	d.forget(members)
	var all sync.WaitGroup
	for _, m := range members {
		if m.ID == d.o.Self {
			continue
		}
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, PingEvery)
			defer cancel()
			answer, err := d.o.Ask(ctx, m.ID)
			if err != nil {
				answer = nil
				d.o.Unanswered(m.ID, err)
			}
			d.note(m, answer)
		})
	}
	all.Wait()
}

// forget drops who is not a member any more.
func (d *Detector[R]) forget(members []control.Member) {
	present := map[uint16]*contact[R]{}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range members {
		if c := d.known[m.ID]; c != nil {
			present[m.ID] = c
		}
	}
	d.known = present
}

// note takes a member's answer, nil when there was none.
func (d *Detector[R]) note(m control.Member, answer *R) {
	if news := d.update(m, answer); news != nil {
		d.o.Alert(*news)
	}
}

// update takes an answer over, and returns what is to be alerted; nil: nothing.
func (d *Detector[R]) update(m control.Member, answer *R) *Event {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	c := d.contactLocked(m.ID, now)
	if answer != nil {
		c.heard, c.answered, c.last = now, now, answer
		d.believeLocked(answer, now)
		if !c.alerted {
			return nil
		}
		c.alerted = false
		return &Event{
			Name: EventBack, Member: m.ID, MemberName: m.Name, Informational: true,
			Words: fmt.Sprintf("%s (member %d) is back", m.Name, m.ID),
		}
	}
	silent := now.Sub(c.heard)
	if silent < GoneAfter {
		return nil
	}
	c.last = nil
	if silent < MissedAfter || c.alerted || m.State == control.Joining {
		return nil
	}
	c.alerted = true
	return &Event{
		Name: EventMissing, Member: m.ID, MemberName: m.Name, Since: c.heard,
		Words: fmt.Sprintf(
			"%s (member %d) has not answered for %v: "+
				"bring it back, or join a new node and run `postroad cluster replace %s NEW`",
			m.Name, m.ID, MissedAfter, m.Name,
		),
	}
}

func (d *Detector[R]) contactLocked(member uint16, now time.Time) *contact[R] {
	c := d.known[member]
	if c == nil {
		c = &contact[R]{heard: now}
		d.known[member] = c
	}
	return c
}

// believeLocked takes over since when a member is missing from one that has waited for it longer,
// as after a restart of this node. Of who answers here others need not tell.
func (d *Detector[R]) believeLocked(answer *R, now time.Time) {
	for member, seconds := range d.o.Silent(answer) {
		if c := d.known[member]; c != nil && now.Sub(c.heard) >= GoneAfter {
			if since := now.Add(-time.Duration(seconds) * time.Second); since.Before(c.heard) {
				c.heard = since
			}
		}
	}
}

// Reachable reports whether a member has answered lately.
func (d *Detector[R]) Reachable(member uint16) bool {
	if member == d.o.Self {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.known[member]
	return c == nil || time.Since(c.heard) < GoneAfter
}

// Absent returns the members that run somewhere, or did, and have not answered for so long.
func (d *Detector[R]) Absent(limit time.Duration) (all []Absence) {
	members := d.o.Members()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range members {
		c := d.known[m.ID]
		if c != nil && m.State != control.Joining && time.Since(c.heard) >= limit {
			all = append(all, Absence{m, c.heard})
		}
	}
	return all
}

// Silent returns how many seconds each member has not answered, of those that do not.
func (d *Detector[R]) Silent() map[uint16]int64 {
	seconds := map[uint16]int64{}
	for _, a := range d.Absent(GoneAfter) {
		seconds[a.Member.ID] = int64(time.Since(a.Since) / time.Second)
	}
	return seconds
}

// Answered returns of each member that has answered this one when it last did.
func (d *Detector[R]) Answered() map[uint16]time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[uint16]time.Time{}
	for id, c := range d.known {
		if !c.answered.IsZero() {
			all[id] = c.answered
		}
	}
	return all
}

// Reports returns what the members that answer last said of themselves.
func (d *Detector[R]) Reports() map[uint16]*R {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[uint16]*R{}
	for id, c := range d.known {
		if c.last != nil {
			all[id] = c.last
		}
	}
	return all
}
