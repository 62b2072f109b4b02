package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue/machine"
)

// operatorMost bounds the recipients of one operator command. A verb over a long queue is many
// commands, so that it holds up nothing; what arrives meanwhile and matches may or may not be met.
const operatorMost = 500

// Moved hears of each recipient that an operator's command changed; nil: nobody.
type Moved func(m *Stored, recipient uint32, to State)

// Hold holds the selected recipients: when it returns, no attempt begins. For one being attempted
// it takes effect at the outcome.
func (q *Queue) Hold(ctx context.Context, f Filter, moved Moved) (Total, error) {
	return q.operate(ctx, f, machine.VerbHold, nil, moved)
}

// ReleaseHeld makes held recipients ready, due now.
func (q *Queue) ReleaseHeld(ctx context.Context, f Filter, moved Moved) (Total, error) {
	return q.operate(ctx, f, machine.VerbRelease, nil, moved)
}

// Flush makes deferred recipients ready, due now.
func (q *Queue) Flush(ctx context.Context, f Filter, moved Moved) (Total, error) {
	return q.operate(ctx, f, machine.VerbFlush, nil, moved)
}

// Fail fails recipients for good, with a report to the sender that gives why: its time, code,
// enhanced code and text. When an attempt is under way its outcome comes too late.
func (q *Queue) Fail(ctx context.Context, f Filter, why mail.Attempt, moved Moved) (Total, error) {
	return q.operate(ctx, f, machine.VerbFail, &why, moved)
}

// Remove takes recipients out without a report. When an attempt is under way its outcome comes too
// late.
func (q *Queue) Remove(ctx context.Context, f Filter, moved Moved) (Total, error) {
	return q.operate(ctx, f, machine.VerbRemove, nil, moved)
}

// during is ctx as long as the term lasts.
func (r *run) during(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(r.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

// ErrUncounted: a command was repeated, because it was not known what had become of it. All is
// done; what the first one moved is not in the total.
var ErrUncounted = errors.New("an answer of the log was lost on the way")

// operate applies a verb to what is selected, in commands of bounded size. The total counts the
// recipients that it moved, by their new state, and the messages they belong to. Those that were
// being attempted count as InFlight, and not among Recipients, unless the verb lets them be
// attempted: it is done to them, but what it is for may not come true.
func (q *Queue) operate(
	ctx context.Context, f Filter, v machine.Verb, why *mail.Attempt, moved Moved,
) (t Total, err error) {
	r := q.run.Load()
	if r == nil {
		return t, errNotOwner
	}
	ctx, cancel := r.during(ctx)
	defer cancel()
	if why == nil {
		why = &mail.Attempt{}
	}
	// Outcomes of attempts before the verb are recorded before it: a message that is delivered is
	// not said to be held.
	if err := r.settler.settled(ctx); err != nil {
		return t, fmt.Errorf("wait for the outcomes of attempts: %w", err)
	}
	o := operation{
		r:      r,
		ctx:    ctx,
		verb:   v,
		why:    why,
		moved:  moved,
		total:  &t,
		stored: make(map[mail.ID]*Stored),
	}
	err = q.scanSelected(ctx, f, func(s *Stored, selected []uint32) bool {
		o.stored[s.Message.ID] = s
		for _, n := range selected {
			if o.refs = append(o.refs,
				machine.RecipientRef{ID: s.Message.ID, Number: n}); len(o.refs) == operatorMost {
				o.flush()
				o.stored[s.Message.ID] = s
			}
		}
		return o.err == nil
	})
	o.flush()
	if err == nil {
		err = o.err
	}
	if err == nil {
		t.Index, err = q.appliedIndex()
	}
	if err == nil && o.uncounted {
		err = ErrUncounted
	}
	return t, err
}

// operation is a verb under way.
type operation struct {
	r      *run
	ctx    context.Context
	verb   machine.Verb
	why    *mail.Attempt
	moved  Moved
	total  *Total
	refs   []machine.RecipientRef
	stored map[mail.ID]*Stored
	last   mail.ID // counted last
	err    error

	uncounted bool // an answer was lost
}

// flush proposes what was gathered.
func (o *operation) flush() {
	if len(o.refs) == 0 || o.err != nil {
		return
	}
	data := machine.AppendOperator(
		machine.AppendCommand(nil, machine.CmdOperator, o.r.commandTime(nil)),
		o.verb,
		o.why,
		o.refs,
	)
	result, again, err := o.r.repeat(nil).Propose(o.ctx, data, nil)
	if err != nil {
		o.err = fmt.Errorf("propose an operator's command: %w", err)
		return
	}
	o.uncounted = o.uncounted || again
	to := machine.OperatorState[o.verb]
	for _, ref := range result.([]machine.RecipientRef) {
		if to != Ready && o.r.q.opts.Caught(ref.ID, ref.Number) {
			o.total.ByState[InFlight]++
		} else {
			o.total.Recipients++
			o.total.ByState[to]++
		}
		if ref.ID != o.last {
			o.total.Messages++
			o.last = ref.ID
		}
		if o.moved != nil {
			o.moved(o.stored[ref.ID], ref.Number, to)
		}
	}
	o.refs = o.refs[:0]
	clear(o.stored)
}
