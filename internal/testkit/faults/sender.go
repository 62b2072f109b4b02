package faults

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// sender is one client of a Load: one connection at a time, to one node after another.
type sender struct {
	l    *Load
	turn int // which server is next
	node int
	d    *mailtest.Dialog // nil: none
}

var errNoServer = errors.New("no node is up")

func (s *sender) run(ctx context.Context) {
	defer s.leave()
	for {
		i := int(s.l.next.Add(1)) - 1
		if s.l.o.Count > 0 && i >= s.l.o.Count || s.stopped() {
			return
		}
		s.send(ctx, s.l.o.Message(i), i)
		if s.l.o.Interval > 0 && !s.wait(ctx, s.l.o.Interval) {
			return
		}
	}
}

func (s *sender) stopped() bool {
	select {
	case <-s.l.stop:
		return true
	default:
		return false
	}
}

// wait waits; false: the load is being stopped.
func (s *sender) wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.l.stop:
		return false
	case <-ctx.Done():
		return false
	}
}

// send tries to have a message accepted for all its recipients. A stopped load gives its clients
// time for one more try each.
func (s *sender) send(ctx context.Context, m *mailtest.Message, i int) {
	rest := m.Recipients
	for try := 1; len(rest) > 0; try++ {
		if s.d == nil {
			if err := s.connect(ctx); err != nil {
				s.l.fail(s.node, "connecting", shorten(err))
			}
		}
		if s.d != nil {
			rest = s.try(m, i, try, rest)
		}
		if len(rest) > 0 && (try >= s.l.o.Tries || !s.wait(ctx, s.l.o.After)) {
			s.l.mu.Lock()
			s.l.mu.gaveUp++
			s.l.mu.Unlock()
			return
		}
	}
}

// connect opens a session with the next node.
func (s *sender) connect(ctx context.Context) (err error) {
	servers := s.l.o.Servers()
	if len(servers) == 0 {
		s.node = 0
		return errNoServer
	}
	to := servers[s.turn%len(servers)]
	s.turn++
	s.node = to.Number
	s.d, err = mailtest.Dial(ctx, mailtest.SendOptions{Addr: to.Addr, Pipelining: true,
		Timeout: s.l.o.Timeout})
	if err != nil {
		s.d = nil
	}
	return err
}

// try makes one attempt and returns who is left. Whoever was put off is tried at another node.
func (s *sender) try(m *mailtest.Message, i, try int, rcpts []string) (rest []string) {
	one := m.As(fmt.Sprintf("%s.%d", m.ID, try))
	one.Recipients = rcpts
	t := &Try{Message: i, Node: s.node}
	t.Sent = s.d.Send(one)
	t.Number = try
	told := map[string]bool{}
	for _, r := range t.Accepted {
		told[r] = true
	}
	for _, r := range t.Unknown {
		told[r] = true
	}
	for _, r := range t.Refused {
		told[r.Recipient] = true
	}
	for _, r := range rcpts {
		if !told[r] {
			rest = append(rest, r)
		}
	}
	if t.PutOff = rest; t.Err != nil {
		t.Late = shorten(t.Err).Error()
		s.l.fail(s.node, "sending", shorten(t.Err))
	}
	if len(rest) > 0 || !s.d.Alive() {
		s.leave()
	}
	if t.At.IsZero() {
		t.At = time.Now()
	}
	s.l.note(t)
	return rest
}

func (s *sender) leave() {
	if s.d != nil {
		s.d.Close()
		s.d = nil
	}
}

// shorten takes what differs each time out of an error, so that equal ones can be counted.
func shorten(err error) error {
	text := err.Error()
	if _, after, ok := strings.Cut(text, "->"); ok {
		if _, what, ok := strings.Cut(after, ": "); ok {
			text = what
		}
	}
	if len(text) > 200 {
		text = text[:200]
	}
	return errors.New(text)
}
