package queue

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
)

// lane is one proposer: at most one accept command of it is under way.
type lane struct {
	key      laneKey
	seq      uint64
	inflight atomic.Pointer[batch] // read by the apply goroutine
	envelope envelopeWriter
	subs     []submission
	chunk    []byte // of a large message that is not held in memory; nobody else holds it
}

// proposeSmall takes what waits, for ever.
func (r *run) proposeSmall(l *lane) {
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
func (r *run) accept(l *lane, b *batch) {
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
	result, _, err := r.proposeOr(ctx, data, parts, r.q.opts.Forward)
	switch {
	case err == nil && result == acceptResult{true}:
		return nil
	case err == nil:
		return failUnknown
	case errors.Is(err, ErrRefused):
		return failStopping.With(err)
	}
	return failUnknown.With(err)
}

// Pauses between repeated proposals.
const (
	repeatFirst = 20 * time.Millisecond
	repeatMost  = time.Second
)

// propose proposes until the outcome is known or ctx ends. An error that wraps ErrRefused: it
// surely never entered the log.
func (r *run) propose(ctx context.Context, data []byte, parts [][]byte) (any, error) {
	result, _, err := r.proposeOr(ctx, data, parts, nil)
	return result, err
}

// proposeOr is propose; when the outcome is unknown and this member does not lead the group any
// more, the command goes to who does. again: what an earlier try may have done is not in the
// result.
func (r *run) proposeOr(ctx context.Context, data []byte, parts [][]byte, forward Proposer) (result any, again bool, err error) {
	for pause := repeatFirst; ; pause = min(2*pause, repeatMost) {
		result, err = r.group.Propose(ctx, data, parts)
		if again && forward != nil && errors.Is(err, ErrRefused) {
			result, err = forward.Propose(ctx, data, parts)
		}
		if err == nil {
			return result, again, nil
		}
		if errors.Is(err, ErrRefused) && !again {
			return nil, false, err
		}
		again = true // a refusal now says nothing of the first try
		r.q.repeated.Add(1)
		select {
		case <-ctx.Done():
			return nil, true, errUnknown{err}
		case <-time.After(pause):
		}
	}
}

// errUnknown hides a late ErrRefused.
type errUnknown struct{ err error }

func (e errUnknown) Error() string { return "outcome unknown: " + e.err.Error() }

// commandTime is now, but never before an ID that the command brings.
func (r *run) commandTime(ids []mail.ID) int64 {
	now := r.clock.Now().UnixMilli()
	if n := len(ids); n > 0 {
		now = max(now, ids[n-1].Time().UnixMilli())
	}
	return now
}
