package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue/machine"
)

// This file is the owner's side of a hand-over, one after the other: HandOver copies messages to
// another group and lets them go, and EndHandOver brings what was begun to its end, this owner's or
// one's before. Every step is a command that may be repeated. A hand-over that is not known to have
// let anything go lets nothing go.

// Elsewhere proposes at whoever owns another queue group; nil: that is gone. Errors are as
// Proposer's.
type Elsewhere func(group uint64) Proposer

// HandedOver is a hand-over that came to its end: these messages are the group's now.
type HandedOver struct {
	Group uint64
	IDs   []mail.ID
}

// Handing is how far the handing over of a group's mail is.
type Handing struct {
	Total    uint64 // messages let go, of all time
	Open     bool   // a hand-over has not come to its end
	Group    uint64 // to which it goes, if there ever was one
	OnTheWay int    // messages that this group has let go and the other may not know to be its own
}

// Handing returns how far it is, as of what this member has applied.
func (q *Queue) Handing() (h Handing, err error) {
	r, err := q.read()
	if err != nil {
		return h, err
	}
	row, err := readHandover(r)
	return Handing{
		Total:    row.Total,
		Open:     row.Phase != machine.HandoverIdle,
		Group:    row.Target,
		OnTheWay: len(row.Gone),
	}, err
}

func readHandover(r Reader) (h machine.HandoverRow, err error) {
	v, ok, err := r.Get(machine.HandoverKey)
	if err != nil || !ok {
		return h, err
	}
	return machine.DecodeHandoverRow(v)
}

// Bounds of a hand-over.
const (
	HandOverMessages = machine.HandoverMost // at the most
	HandOverOctets   = 1 << 20              // of content, but for a message that goes alone
)

var (
	errHandingOver = errors.New("a hand-over that was begun before has not come to its end")
	errNotTaken    = errors.New("the other group does not take it")
)

// A Parcel is a hand-over whose messages were copied.
type Parcel struct {
	r      *run
	serial uint64
	refs   []machine.GoingRef
}

// Pack begins a hand-over and copies messages of this group, whose number is from, to the group to.
// Those that are gone, or have reports due, are left out. The caller makes sure that no attempt at
// them is under way and that none begins until the hand-over has come to its end, and calls
// EndHandOver next, whatever Pack returned. The owner only.
func (q *Queue) Pack(
	ctx context.Context, from, to uint64, at Elsewhere, ids []mail.ID,
) (*Parcel, error) {
	r := q.run.Load()
	if r == nil {
		return nil, errNotOwner
	}
	ctx, cancel := r.during(ctx)
	defer cancel()
	result, err := r.propose(
		ctx,
		machine.AppendOffer(machine.AppendCommand(nil, machine.CmdOffer, r.commandTime(nil)),
			r.session, to),
		nil,
	)
	if err != nil {
		return nil, fmt.Errorf("begin a hand-over: %w", err)
	}
	p := &Parcel{r: r, serial: result.(machine.OfferResult).Serial}
	if p.serial == 0 {
		return nil, errHandingOver
	}
	c := courierTo{
		ctx:    ctx,
		q:      q,
		r:      r.group,
		now:    func() int64 { return r.commandTime(nil) },
		letter: (*loader).letter,
		from:   from,
		serial: p.serial,
		to:     at(to),
	}
	if c.to == nil {
		return nil, fmt.Errorf("group %d is gone", to)
	}
	for _, id := range ids[:min(len(ids), machine.HandoverMost)] {
		if err := c.add(id); err != nil {
			return nil, fmt.Errorf("copy message %v to group %d: %w", id, to, err)
		}
	}
	if err := c.flush(); err != nil {
		return nil, fmt.Errorf("copy messages to group %d: %w", to, err)
	}
	p.refs = c.refs
	return p, nil
}

// LetGo makes the messages the other group's, but for those that changed since they were copied.
// After an error it is unknown whether it did.
func (p *Parcel) LetGo(ctx context.Context) error {
	ctx, cancel := p.r.during(ctx)
	defer cancel()
	return p.r.letGo(ctx, p.serial, p.refs)
}

func (r *run) letGo(ctx context.Context, serial uint64, refs []machine.GoingRef) error {
	data := machine.AppendLetGo(machine.AppendCommand(nil, machine.CmdLetGo, r.commandTime(nil)),
		r.session, serial, refs)
	result, err := r.propose(ctx, data, nil)
	if err != nil {
		return fmt.Errorf("let messages go: %w", err)
	}
	if !result.(machine.LetGoResult).Ok {
		return errFenced
	}
	return nil
}

// EndHandOver brings a hand-over to its end, if there is one: the other group is told what is its
// own now. Called again after an error. The owner only.
func (q *Queue) EndHandOver(
	ctx context.Context, from uint64, at Elsewhere,
) (done HandedOver, err error) {
	r := q.run.Load()
	if r == nil {
		return done, errNotOwner
	}
	ctx, cancel := r.during(ctx)
	defer cancel()
	h, err := readHandover(r.group)
	if err != nil || h.Phase == machine.HandoverIdle {
		return done, err
	}
	if h.Phase == machine.HandoverCopy {
		if err := r.letGo(ctx, h.Serial, nil); err != nil && !errors.Is(err, errFenced) {
			return done, err
		}
		if h, err = readHandover(r.group); err != nil || h.Phase != machine.HandoverGone {
			return done, errors.Join(err, errFenced)
		}
	}
	if err := r.finish(ctx, from, at(h.Target), &h); err != nil {
		return done, fmt.Errorf("tell group %d what is its own now: %w", h.Target, err)
	}
	data := machine.AppendOver(machine.AppendCommand(nil, machine.CmdOver, r.commandTime(nil)),
		h.Serial)
	if _, err := r.propose(ctx, data, nil); err != nil {
		return done, fmt.Errorf("end a hand-over: %w", err)
	}
	return HandedOver{h.Target, h.Gone}, nil
}

// finish tells the other group which messages are its own now. A group that is gone had none, for
// it does not go while any may come.
func (r *run) finish(ctx context.Context, from uint64, to Proposer, h *machine.HandoverRow) error {
	if to == nil {
		if len(h.Gone) > 0 {
			return fmt.Errorf("%d messages were let go to it, and it is gone", len(h.Gone))
		}
		return nil
	}
	data := machine.AppendFinish(machine.AppendCommand(nil, machine.CmdFinish, r.commandTime(nil)),
		from, h.Serial, h.Gone)
	result, err := proposeAt(ctx, to, data, nil)
	if err == nil && !result.(machine.FinishResult).Ok {
		err = errNotTaken
	}
	return err
}
