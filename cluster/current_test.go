package cluster

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// current asks a member whether it has everything, for so long.
func current(t *testing.T, x *member, patience time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return x.g.Current(ctx)
}

// TestCurrent: whoever says that it has everything has what was acknowledged before it was asked,
// leader or not, right after a start too; who cannot ask a leader that leads for sure says what is
// missing.
func TestCurrent(t *testing.T) {
	t.Parallel()
	m, one := newThree(t)
	three := m.members[3]
	for i := range 20 {
		m.put(one, 10*i, 10)
		for _, x := range m.members {
			if err := current(t, x, 10*time.Second); err != nil {
				t.Fatalf("member %d: %v", x.id, err)
			}
			if at := one.g.AppliedIndex(); x.g.AppliedIndex() < at {
				t.Fatalf(
					"member %d says that it is current with entry %d, and %d was acknowledged",
					x.id,
					x.g.AppliedIndex(),
					at,
				)
			}
		}
	}
	m.stop(three)
	m.put(one, 200, 50)
	three = m.start(3)
	if err := current(t, three, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	m.verify(three, 250)

	// The old leader, cut off, says no as soon as its lease has ended; so does who is alone.
	m.isolate(1, true)
	m.until(
		"member 1 knows that it cannot know",
		func() bool { _, err := one.g.ReadIndex(t.Context()); return err != nil },
	)
	m.stop(m.members[2])
	if err := current(t, three, time.Second); err == nil {
		t.Error("a member without a majority says that it is current")
	}
}

// TestCurrentOfAnOldLeader: a leader of a program that knows no such question is believed in what
// it said last.
func TestCurrentOfAnOldLeader(t *testing.T) {
	t.Parallel()
	m := newMany(t, 3)
	m.serves = func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/cluster/index") {
				http.NotFound(w, r)
				return
			}
			h.ServeHTTP(w, r)
		})
	}
	one := m.three()
	two := m.members[2]
	m.put(one, 0, 20)
	if err := current(t, two, 10*time.Second); err != nil {
		t.Error(err)
	}
	err := two.node.Call(
		t.Context(),
		1,
		http.MethodGet,
		"/cluster/index?group=1",
		nil,
		func(io.Reader) error { return nil },
	)
	if answer := (*Answer)(nil); !errors.As(err, &answer) || answer.Status != http.StatusNotFound {
		t.Errorf("the leader answers %v", err)
	}
}
