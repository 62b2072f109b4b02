package rows

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Pauses between repeated proposals: the first one, and the longest that doubling leads to.
const (
	FirstPause = 20 * time.Millisecond
	MostPause  = time.Second
)

// Repeat proposes one command until its outcome is known.
//
// A proposal that fails may be in the log all the same, and may be applied later. So the same
// octets are proposed again, and the state machine knows a second copy (by its proposer's number)
// or is not harmed by it. A refusal is an outcome only for the first try: a later one says that
// this copy is not in the log and nothing of the copies before.
type Repeat struct {
	To Proposer
	// Forward is asked when To refuses a repetition: this member does not lead the group any more,
	// and another may. Nil: nobody.
	Forward Proposer
	// Late returns why Apply passed the command over, if a result says that it came too late; nil
	// for all other results. After an earlier try the outcome is then unknown, for that one may
	// have been in time. A nil function: no command comes too late.
	Late func(result any) error
	// Again is called before each repetition. It may be nil.
	Again func()
}

// Propose proposes until the outcome is known or ctx ends. repeated says that earlier tries may
// have done what the result does not tell. An error that wraps ErrRefused says that nothing
// happened and nothing will; any other error wraps ErrUnknown.
func (r Repeat) Propose(
	ctx context.Context, data []byte, parts [][]byte,
) (result any, repeated bool, err error) {
	for pause := FirstPause; ; pause = min(2*pause, MostPause) {
		result, err = r.To.Propose(ctx, data, parts)
		if repeated && r.Forward != nil && errors.Is(err, ErrRefused) {
			result, err = r.Forward.Propose(ctx, data, parts)
		}
		if err == nil {
			late := r.late(result)
			switch {
			case late == nil:
				return result, repeated, nil
			case repeated:
				return nil, true, unknown{late}
			}
			return nil, false, fmt.Errorf("%w: %w", ErrRefused, late)
		}
		if errors.Is(err, ErrRefused) && !repeated {
			return nil, false, err
		}
		repeated = true
		if r.Again != nil {
			r.Again()
		}
		select {
		case <-ctx.Done():
			return nil, true, unknown{err}
		case <-time.After(pause):
		}
	}
}

func (r Repeat) late(result any) error {
	if r.Late == nil {
		return nil
	}
	return r.Late(result)
}

// unknown is an ErrUnknown that hides the refusal in its cause.
type unknown struct{ cause error }

func (e unknown) Error() string { return ErrUnknown.Error() + ": " + e.cause.Error() }

// Unwrap gives only ErrUnknown.
func (e unknown) Unwrap() error { return ErrUnknown }
