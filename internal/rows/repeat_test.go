package rows

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// fakeGroup answers each proposal with the next of its answers, the last one for ever, and keeps
// what was proposed.
type fakeGroup struct {
	answers []fakeAnswer
	got     []string
}

type fakeAnswer struct {
	result any
	err    error
}

func (g *fakeGroup) Propose(_ context.Context, data []byte, parts [][]byte) (any, error) {
	a := g.answers[min(len(g.got), len(g.answers)-1)]
	g.got = append(g.got, fmt.Sprintf("%s %s", data, parts))
	return a.result, a.err
}

var (
	errLost    = errors.New("answer lost")
	errRefused = fmt.Errorf("%w: not the leader", ErrRefused)
	errLate    = errors.New("another owner has come")
)

// isLate takes the result "late" for one that came too late.
func isLate(result any) error {
	if result == "late" {
		return errLate
	}
	return nil
}

func TestRepeat(t *testing.T) {
	lost, refused := fakeAnswer{err: errLost}, fakeAnswer{err: errRefused}
	done, late := fakeAnswer{result: "done"}, fakeAnswer{result: "late"}
	cases := []struct {
		name     string
		group    []fakeAnswer
		forward  []fakeAnswer
		limit    time.Duration // of the context
		result   any
		err      error // it wraps this one
		repeated bool
		tries    int // at the group
		forwards int
		took     time.Duration
	}{
		{name: "at once", group: []fakeAnswer{done}, result: "done", tries: 1},
		{name: "refused", group: []fakeAnswer{refused}, err: ErrRefused, tries: 1},
		{name: "refused, though others are there", group: []fakeAnswer{refused},
			forward: []fakeAnswer{done}, err: ErrRefused, tries: 1},
		{name: "answer lost", group: []fakeAnswer{lost, done}, result: "done", repeated: true,
			tries: 2, took: FirstPause},
		{name: "pauses double up to the longest", group: []fakeAnswer{
			lost, lost, lost, lost, lost, lost, lost, lost, done}, result: "done", repeated: true,
			tries: 9, took: 63*FirstPause + 2*MostPause},
		{name: "a later refusal is no outcome", group: []fakeAnswer{lost, refused, done},
			result: "done", repeated: true, tries: 3, took: 3 * FirstPause},
		{name: "forwarded", group: []fakeAnswer{lost, refused}, forward: []fakeAnswer{done},
			result: "done", repeated: true, tries: 2, forwards: 1, took: FirstPause},
		{name: "forwarded in vain", group: []fakeAnswer{lost, refused},
			forward: []fakeAnswer{refused, lost, done}, result: "done", repeated: true,
			tries: 4, forwards: 3, took: 7 * FirstPause},
		{name: "deadline", group: []fakeAnswer{lost}, limit: 5 * FirstPause, err: ErrUnknown,
			repeated: true, tries: 3, took: 5 * FirstPause},
		{name: "deadline after a refusal", group: []fakeAnswer{lost, refused},
			limit: 5 * FirstPause, err: ErrUnknown, repeated: true, tries: 3, took: 5 * FirstPause},
		{name: "too late", group: []fakeAnswer{late}, err: ErrRefused, tries: 1},
		{name: "the second too late", group: []fakeAnswer{lost, late}, err: ErrUnknown,
			repeated: true, tries: 2, took: FirstPause},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if c.limit > 0 {
					limited, cancel := context.WithTimeout(ctx, c.limit)
					defer cancel()
					ctx = limited
				}
				group, again := &fakeGroup{answers: c.group}, 0
				r := Repeat{To: group, Late: isLate, Again: func() { again++ }}
				other := &fakeGroup{answers: c.forward}
				if c.forward != nil {
					r.Forward = other
				}
				began := time.Now()
				result, repeated, err := r.Propose(ctx, []byte("command"), [][]byte{[]byte("part")})
				if result != c.result || repeated != c.repeated || !errors.Is(err, c.err) {
					t.Errorf("%v, repeated %v, error %v", result, repeated, err)
				}
				if c.err == ErrUnknown && errors.Is(err, ErrRefused) {
					t.Errorf("%v is unknown and a refusal", err)
				}
				if len(group.got) != c.tries || len(other.got) != c.forwards {
					t.Errorf("%d tries, %d forwarded", len(group.got), len(other.got))
				}
				for _, got := range append(group.got, other.got...) {
					if got != "command [part]" {
						t.Errorf("proposed %s", got)
					}
				}
				wantAgain := c.tries - 1
				if c.err == ErrUnknown && !strings.Contains(err.Error(), errLate.Error()) {
					wantAgain++ // it meant to try again when the time was over
				}
				if took := time.Since(began); took != c.took || again != wantAgain {
					t.Errorf("took %v, %d repetitions counted, want %d", took, again, wantAgain)
				}
			})
		})
	}
}
