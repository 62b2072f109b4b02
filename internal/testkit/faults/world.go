package faults

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// World is what stands around a cluster: DNS, and a receiving server that all domains have as their
// mail exchanger. It tells nodes apart by the address that they deliver from. Its methods may be
// called on any goroutine.
type World struct {
	DNS     *mailtest.DNS
	Sink    *mailtest.Sink
	Domains []string

	mu struct {
		sync.Mutex
		answer func(*mailtest.Step) mailtest.Action
		begun  map[int][]time.Time // when each node began its transactions, in order
		open   map[uint64]int      // transactions under way: the node, by session
	}
}

// senders is the domain of the test kit's senders: reports to them arrive, and are seen.
const senders = "sender.example"

// NewWorld starts DNS and the receiving server.
func NewWorld(domains ...string) (*World, error) {
	w := &World{Domains: domains}
	w.mu.begun, w.mu.open = map[int][]time.Time{}, map[uint64]int{}
	var err error
	if w.DNS, err = mailtest.StartDNS("127.0.0.1:0"); err != nil {
		return nil, err
	}
	for i, domain := range append(slices.Clone(domains), senders) {
		if err := w.DNS.AddMX(domain, fmt.Sprintf("mx%d.sink.example", i),
			"127.0.0.1"); err != nil {
			return nil, errors.Join(err, w.DNS.Close())
		}
	}
	w.Sink, err = mailtest.StartSink(mailtest.SinkOptions{Hook: w.step, Left: w.left})
	if err != nil {
		return nil, errors.Join(err, w.DNS.Close())
	}
	return w, nil
}

// Port is where the receiving server listens, and so where the nodes deliver to.
func (w *World) Port() int {
	_, port, _ := net.SplitHostPort(w.Sink.Addr())
	n, _ := strconv.Atoi(port)
	return n
}

// Answer has the receiving server ask hook what to do; nil: it accepts everything at once.
func (w *World) Answer(hook func(*mailtest.Step) mailtest.Action) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.answer = hook
}

// Slow is an answer that takes time to accept each message.
func Slow(d time.Duration) func(*mailtest.Step) mailtest.Action {
	return func(s *mailtest.Step) mailtest.Action {
		if s.At == mailtest.AtEnd {
			return mailtest.Action{Delay: d}
		}
		return mailtest.Action{}
	}
}

// NodeOf is the number of the node that a step comes from.
func NodeOf(s *mailtest.Step) int { return numberOf(s.Remote.Addr()) }

// step notes what is under way, and answers.
func (w *World) step(s *mailtest.Step) mailtest.Action {
	w.mu.Lock()
	defer w.mu.Unlock()
	node := NodeOf(s)
	switch s.At {
	case mailtest.AtMail:
		w.mu.begun[node] = append(w.mu.begun[node], time.Now())
		w.mu.open[s.Session] = node
	case mailtest.AtOther, mailtest.AtQuit:
		delete(w.mu.open, s.Session)
	}
	var a mailtest.Action
	if w.mu.answer != nil {
		a = w.mu.answer(s)
	}
	// else its end is seen by what comes next
	if s.At == mailtest.AtEnd && a.Delay == 0 && a.Until == nil {
		delete(w.mu.open, s.Session)
	}
	return a
}

func (w *World) left(session uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.mu.open, session)
}

// Begun returns when each node began its transactions.
func (w *World) Begun() map[int][]time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	begun := map[int][]time.Time{}
	for node, times := range w.mu.begun {
		begun[node] = append([]time.Time(nil), times...)
	}
	return begun
}

// UnderWay returns how many transactions each node has under way.
func (w *World) UnderWay() map[int]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	count := map[int]int{}
	for _, node := range w.mu.open {
		count[node]++
	}
	return count
}

// Close stops both servers.
func (w *World) Close() error { return errors.Join(w.DNS.Close(), w.Sink.Close()) }
