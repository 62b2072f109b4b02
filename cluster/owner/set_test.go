package owner

import (
	"context"
	"errors"
	"slices"
	"testing"
)

type member struct {
	id  uint64
	err error
}

func (m *member) ID() uint64                 { return m.id }
func (m *member) Stop(context.Context) error { return m.err }

func TestSet(t *testing.T) {
	var s Set[*member]
	a, b, c := &member{id: 9}, &member{id: 2, err: errors.New("b")},
		&member{id: 5, err: errors.New("c")}
	s.Add(a)
	s.Add(b)
	before := s.List()
	s.Add(c)
	if all := s.List(); !slices.Equal(all, []*member{b, c, a}) ||
		!slices.Equal(before, []*member{b, a}) {
		t.Errorf("all %v, before %v", all, before)
	}
	if s.Get(5) != c || s.Get(4) != nil {
		t.Errorf("5 is %v, 4 is %v", s.Get(5), s.Get(4))
	}
	if err := s.Stop(t.Context()); !errors.Is(err, b.err) || !errors.Is(err, c.err) {
		t.Errorf("stopped: %v", err)
	}
	s.Remove(b)
	if all := s.List(); !slices.Equal(all, []*member{c, a}) {
		t.Errorf("left: %v", all)
	}
}
