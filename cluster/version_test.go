package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
)

// oldToy is a toy that does not know commands that begin with "new".
type oldToy struct{ *toy }

func (oldToy) Understands(data []byte) error {
	if bytes.HasPrefix(data, []byte("new")) {
		return fmt.Errorf("%q is not known", data)
	}
	return nil
}

// TestUnknownCommandStopsTheMember: a member that meets a command of a newer program says that it
// is too old, and applies neither that nor what comes after it.
func TestUnknownCommandStopsTheMember(t *testing.T) {
	t.Parallel()
	m := newMany(t, 2)
	one := m.start(1)
	m.leader()
	two := m.members[2]
	failed := make(chan error, 1)
	var err error
	if two.node,
		err = Open(Options{Dir: "/node", FS: two.fs, Member: 2, SegmentSize: inMemory,
		OnFailure: func(err error) { failed <- err }}); err != nil {
		t.Fatal(err)
	}
	defer func() { // its apply goroutine stands for good: a process would be gone
		two.port.Close()
		two.http.Close()
		two.node.Close()
		two.node = nil
	}()
	m.connect(two)
	two.g = two.node.Group(HomeGroup)
	if err := two.g.Join(oldToy{&toy{}}, nil); err != nil {
		t.Fatal(err)
	}
	m.grow(2)
	m.put(one, 0, 10)
	m.verify(two, 10)
	for _, command := range []string{"new", "after"} {
		if _, err := one.g.Propose(context.Background(), []byte(command), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-failed; !errors.Is(err, ErrTooOld) ||
		!bytes.Contains([]byte(err.Error()), []byte(`"new" is not known`)) {
		t.Errorf("it failed with: %v", err)
	}
	for _, key := range []string{"new", "after"} {
		if _, ok, err := two.g.Get([]byte(key)); ok || err != nil {
			t.Errorf("%s is applied, or %v", key, err)
		}
	}
}
