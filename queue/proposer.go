package queue

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/rows"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue/machine"
)

// slot is one proposer: at most one accept command of it is under way.
type slot struct {
	key      machine.SlotKey
	seq      uint64
	inflight atomic.Pointer[batch] // read by the apply goroutine
	envelope machine.EnvelopeWriter
	subs     []submission
	chunk    []byte // of a large message that is not held in memory; nobody else holds it
}

// proposeSmall takes what waits, for ever.
func (r *run) proposeSmall(l *slot) {
	for {
		l.subs = r.front.takeSmall(l.subs[:0])
		if len(l.subs) == 0 {
			return
		}
		l.seq++
		b := &batch{seq: l.seq, subs: append([]submission(nil), l.subs...)}
		b.build(r, l)
		clear(l.subs)
		if len(b.subs) > 0 {
			r.accept(l, b)
		}
		r.front.answered(len(l.subs))
	}
}

// accept proposes a batch and answers its submissions.
func (r *run) accept(l *slot, b *batch) {
	l.inflight.Store(b)
	fail := r.proposeAccept(b.data, b.parts)
	l.inflight.Store(nil)
	for i := range b.subs {
		if fail != nil {
			b.subs[i].done(mail.ID{}, fail)
		} else {
			b.subs[i].done(b.ids[i], nil)
		}
	}
}

// proposeAccept proposes until the outcome is known, with the same octets (pitfall R4), for as long
// as the client can be expected to wait.
func (r *run) proposeAccept(data []byte, parts [][]byte) *smtp.Failure {
	ctx, cancel := context.WithTimeout(r.answers, r.q.opts.UnknownFor)
	defer cancel()
	result, _, err := r.repeat(r.q.opts.Forward).Propose(ctx, data, parts)
	switch {
	case err == nil && result == machine.AcceptResult{Ok: true}:
		return nil
	case err == nil:
		return failUnknown
	case errors.Is(err, ErrRefused):
		return failStopping.With(err)
	}
	return failUnknown.With(err)
}

// repeat returns what proposes to this run's group until the outcome is known.
func (r *run) repeat(forward Proposer) rows.Repeat {
	return rows.Repeat{To: r.group, Forward: forward, Again: func() { r.q.repeated.Add(1) }}
}

// propose proposes until the outcome is known or ctx ends. An error that wraps ErrRefused says that
// the command surely never entered the log.
func (r *run) propose(ctx context.Context, data []byte, parts [][]byte) (any, error) {
	result, _, err := r.repeat(nil).Propose(ctx, data, parts)
	return result, err
}

// commandTime is now, but never before an ID that the command brings.
func (r *run) commandTime(ids []mail.ID) int64 {
	now := r.clock.Now().UnixMilli()
	if n := len(ids); n > 0 {
		now = max(now, ids[n-1].Time().UnixMilli())
	}
	return now
}
