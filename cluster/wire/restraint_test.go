package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// TestRefusalHolds: a refusal as a member holds for all that is asked of it, up to two seconds; one
// of a group holds for the group, for a moment; who cannot be reached is dialled each time.
func TestRefusalHolds(t *testing.T) {
	raft := func(group uint64) preface { return preface{forRaft, group} }
	start := time.Now()
	for name, c := range map[string]struct {
		err   error
		most  time.Duration // of the tenth, and half of it is the least
		other bool          // another group is refused as well
	}{
		"removed":            {&Refusal{ErrFinal, "removed"}, 2 * time.Second, true},
		"not admitted here":  {Final(errors.New("removed")), 2 * time.Second, true},
		"another's":          {unfit{errors.New("member 3")}, 2 * time.Second, true},
		"no such group":      {&Refusal{ErrJoinDenied, "x"}, 250 * time.Millisecond, false},
		"not now":            {&Refusal{ErrNotNow, "x"}, 250 * time.Millisecond, false},
		"connection refused": {&net.OpError{Op: "dial", Err: errors.New("refused")}, 0, false},
		"cut off":            {fmt.Errorf("no answer: %w", io.EOF), 0, false},
		"too late":           {context.DeadlineExceeded, 0, false},
	} {
		var r restraint
		now, held := start, time.Duration(0)
		for range 10 {
			now = now.Add(held)
			if err := r.held(7, "a:1", raft(1), now); err != nil {
				t.Errorf("%s: held after %v: %v", name, held, err)
			}
			r.note(7, "a:1", raft(1), c.err, now)
			r.note(7, "a:1", raft(1), c.err, now) // another dial at the same time
			for held = 0; r.held(7, "a:1", raft(1), now.Add(held)) != nil; {
				held += time.Millisecond
			}
		}
		if held < c.most/2 || held > c.most+time.Millisecond {
			t.Errorf("%s: held for %v, want at most %v", name, held, c.most)
		}
		if held == 0 {
			continue
		}
		if err := r.held(7, "a:1", raft(1), now); !errors.Is(err, c.err) {
			t.Errorf("%s: says %v", name, err)
		}
		if other := r.held(7, "a:1", raft(2), now) != nil; other != c.other {
			t.Errorf("%s: another group is held: %v", name, other)
		}
		if r.held(7, "b:1", raft(1), now) != nil || r.held(8, "a:1", raft(1), now) != nil {
			t.Errorf("%s: holds for another address or member", name)
		}
		r.note(7, "a:1", raft(1), nil, now)
		if r.held(7, "a:1", raft(1), now) != nil {
			t.Errorf("%s: holds after a success", name)
		}
	}
}

// TestRemovedMemberIsLeftAlone: it is not dialled as often as somebody wants to, by neither side,
// until the list of members has changed.
func TestRemovedMemberIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	var removed atomic.Bool
	var dials [3]atomic.Int64
	counted := func(member uint16) func(*Options) {
		return func(o *Options) {
			o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				dials[member].Add(1)
				return new(net.Dialer).DialContext(ctx, network, address)
			}
		}
	}
	a, b := w.port(1, counted(1)), w.port(2, counted(2), func(o *Options) {
		o.Admit = func(peer Identity, _ string) error {
			if removed.Load() {
				return Final(errors.New("member 1 was removed"))
			}
			return nil
		}
	})
	accept(t, a.Stream(1))
	accept(t, b.Stream(1))
	removed.Store(true)
	for range 300 {
		if _, err := a.Stream(1).DialMember(2, patience); !errors.Is(err, ErrFinal) {
			t.Fatalf("the removed member hears: %v", err)
		}
		if _, err := b.Stream(1).DialMember(1, patience); err == nil {
			t.Fatal("a removed member was admitted")
		}
	}
	for member := 1; member <= 2; member++ {
		if n := dials[member].Load(); n == 0 || n > 60 {
			t.Errorf("member %d dialled %d times of 300", member, n)
		}
	}
	removed.Store(false)
	for _, p := range []*Port{a, b} {
		p.Recheck()
	}
	for p, to := range map[*Port]uint16{a: 2, b: 1} {
		c, err := p.Stream(1).DialMember(to, patience)
		if err != nil {
			t.Errorf("after the list has changed: %v", err)
			continue
		}
		c.Close()
	}
}
