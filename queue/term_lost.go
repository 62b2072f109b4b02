package queue

import (
	"context"
	"slices"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue/machine"
)

// pastRuns is how many abandoned runs are remembered after their end, to know a message of theirs
// that is accepted after all.
const pastRuns = 8

// Abandon ends the term of a member that was deposed. It does not wait. Submissions not proposed
// yet are refused (451 4.3.2); outcomes that are not recorded are dropped, for only the new owner's
// word counts: their recipients are maybe attempted. Deliveries among them are remembered, in case
// this member is the next owner. Accept commands of unknown outcome are repeated in the background,
// and their clients answered by the outcome.
func (q *Queue) Abandon() {
	r := q.run.Swap(nil)
	if r == nil {
		return
	}
	q.newReports()
	r.cancel()
	for _, s := range r.front.drop() {
		s.content.Release()
		s.done(mail.ID{}, failStopping)
	}
	r.settler.drop()
	q.remember(r)
	go func() {
		r.accepting.Wait()
		r.settling.Wait()
		r.sweeping.Wait()
		r.giveUp() // frees the context
		close(r.ended)
	}()
}

// remember adds a run to the past. Those that have ended go, but for the latest; those that have
// not are few, for none lasts longer than a client waits.
func (q *Queue) remember(r *run) {
	var all []*run
	if p := q.past.Load(); p != nil {
		all = slices.Clone(*p)
	}
	all = append(all, r)
	old := len(all) - pastRuns
	n := 0
	all = slices.DeleteFunc(all, func(r *run) bool {
		n++
		return n <= old && r.hasEnded()
	})
	q.past.Store(&all)
}

func (r *run) hasEnded() bool {
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

// waitPast waits for the abandoned runs, which give up when ctx ends.
func (q *Queue) waitPast(ctx context.Context) {
	p := q.past.Load()
	if p == nil {
		return
	}
	for _, r := range *p {
		stop := context.AfterFunc(ctx, r.giveUp)
		<-r.ended
		stop()
	}
}

// pastRun returns the abandoned run of a session, or nil.
func (q *Queue) pastRun(session uint64) *run {
	if p := q.past.Load(); p != nil {
		for _, r := range *p {
			if r.session == session {
				return r
			}
		}
	}
	return nil
}

// underWay returns the batch of an accept command if its proposer still waits for it.
func (r *run) underWay(c *machine.Command) *batch {
	if int(c.Slot.Slot) >= len(r.slots) {
		return nil
	}
	if b := r.slots[c.Slot.Slot].inflight.Load(); b != nil && b.seq == c.Seq {
		return b
	}
	return nil
}
