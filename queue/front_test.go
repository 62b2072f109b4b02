package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue/machine"
	"github.com/postroad/postroad/queue/queuetest"
)

// kindOf tells which command is proposed.
func kindOf(data []byte) machine.CommandType { return machine.CommandType(data[1]) }

// inBubble runs a test in virtual time, with a queue that is stopped at its end.
func inBubble(t *testing.T, o Options, prepare func(*bed), test func(t *testing.T, b *bed)) {
	synctest.Test(t, func(t *testing.T) {
		o.NewClock = func(floor time.Time) Clock { return wallClock{floor} }
		b := newBed(t, o)
		prepare(b)
		b.start()
		test(t, b)
		b.stop()
	})
}

// wallClock is virtual in a bubble.
type wallClock struct{ floor time.Time }

func (wallClock) Now() time.Time { return time.Now() }

func TestUnknownOutcomeIsRepeated(t *testing.T) {
	tries := 0
	inBubble(t, Options{}, func(b *bed) {
		b.g.Fault = func(data []byte) queuetest.Fault {
			if kindOf(data) != machine.CmdAccept {
				return queuetest.None
			}
			tries++
			return []queuetest.Fault{queuetest.LoseCommand, queuetest.LoseAnswer, queuetest.Refuse,
				queuetest.None}[min(tries-1, 3)]
		}
	}, func(t *testing.T, b *bed) {
		id := b.accept("a@x.example", "b@y.example")
		if tries != 4 {
			t.Fatalf("%d proposals, want 4", tries)
		}
		if s := b.q.Stats(); s.Messages != 1 || s.Accepted != 1 || b.load(id) == nil ||
			s.Repeated != 3 {
			t.Fatalf("%+v", s)
		}
		if len(b.h.items) != 1 {
			t.Fatalf("%d items, want 1", len(b.h.items))
		}
	})
}

// A message that was delivered before its repeated proposal came through is not accepted once more.
func TestRepeatAfterDelivery(t *testing.T) {
	lost := make(chan struct{})
	inBubble(t, Options{}, func(b *bed) {
		first := true
		b.g.Fault = func(data []byte) queuetest.Fault {
			if kindOf(data) == machine.CmdAccept && first {
				first = false
				return queuetest.LoseAnswer
			}
			return queuetest.None
		}
	}, func(t *testing.T, b *bed) {
		got := make(chan answer, 1)
		b.q.Submit(envelope("a@x.example", "b@y.example"), contentOf([]byte("x")),
			func(id mail.ID, f *smtp.Failure) { got <- answer{id, f} })
		synctest.Wait() // applied, and the proposer waits to propose again
		b.settle(Outcome{ID: b.h.items[0].Message.ID, State: Relayed,
			Attempt: mail.Attempt{At: time.Now()}})
		if a := <-got; a.fail != nil {
			t.Fatal(a.fail)
		}
		if s := b.q.Stats(); s.Messages != 0 || s.Accepted != 1 || s.Recipients[Relayed] != 1 {
			t.Fatalf("%+v", s)
		}
		close(lost)
	})
	<-lost
}

func TestUnknownForTooLongIs451(t *testing.T) {
	inBubble(t, Options{}, func(b *bed) {
		b.g.Fault = func(data []byte) queuetest.Fault {
			if kindOf(data) == machine.CmdAccept {
				return queuetest.LoseCommand
			}
			return queuetest.None
		}
	}, func(t *testing.T, b *bed) {
		from := time.Now()
		a := b.send(envelope("a@x.example", "b@y.example"), []byte("x"))
		if a.fail == nil || a.fail.Code != 451 || a.fail.Enhanced != "4.3.0" || !a.id.IsZero() {
			t.Fatalf("%+v", a)
		}
		if took := time.Since(from); took != time.Minute {
			t.Fatalf("gave up after %v", took)
		}
	})
}

// slowGroup applies accept commands only when told, after their proposer gave up.
type slowGroup struct {
	*queuetest.Group
	mu   sync.Mutex
	held [][2]any
}

func (g *slowGroup) Propose(ctx context.Context, data []byte, parts [][]byte) (any, error) {
	if kindOf(data) != machine.CmdAccept {
		return g.Group.Propose(ctx, data, parts)
	}
	g.mu.Lock()
	if len(g.held) == 0 { // what comes later is the same again
		g.held = append(g.held, [2]any{data, parts})
	}
	g.mu.Unlock()
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestAcceptedAfter451IsCountedAndDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, Options{NewClock: func(time.Time) Clock { return wallClock{} }})
		slow := &slowGroup{Group: b.g}
		if err := b.q.Start(t.Context(), slow, b.h); err != nil {
			t.Fatal(err)
		}
		defer b.stop()
		if a := b.send(envelope("a@x.example", "b@y.example"), []byte("x")); a.fail == nil ||
			a.fail.Code != 451 {
			t.Fatalf("%+v", a)
		}
		late := slow.held[0]
		if _, err := b.g.Propose(t.Context(), late[0].([]byte), late[1].([][]byte)); err != nil {
			t.Fatal(err)
		}
		if s := b.q.Stats(); s.AcceptedAfter451 != 1 || s.Messages != 1 {
			t.Fatalf("%+v", s)
		}
		if len(b.h.items) != 0 || len(b.h.changed) != 1 {
			t.Fatalf("items %v, changed %v: the scheduler must look at the disk", b.h.items,
				b.h.changed)
		}
	})
}

func TestOldCommandIsRefused(t *testing.T) {
	b := newBed(t, Options{}).start()
	b.accept("a@x.example", "b@y.example")
	var entry queuetest.Entry
	for _, e := range b.g.Log() {
		if kindOf(e.Data) == machine.CmdAccept {
			entry = e
		}
	}
	again := func() any {
		result, err := b.g.Propose(t.Context(), entry.Data, entry.Parts)
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	if got := again(); got != (machine.AcceptResult{Ok: true}) {
		t.Fatalf("repeated at once: %v", got)
	}
	b.c.add(machine.AcceptMemory + time.Second)
	if a := b.accept("a@x.example", "c@y.example"); a.IsZero() {
		t.Fatal("no ID")
	}
	b.q.machine.Slots = map[machine.SlotKey]machine.SlotRow{}
	if err := proposeSweep(b, 1<<60); err != nil { // forgets the slot
		t.Fatal(err)
	}
	if got := again(); got != (machine.AcceptResult{Ok: false}) || b.q.Stats().Messages != 2 {
		t.Fatalf("repeated after 15 minutes: %v", got)
	}
}

func proposeSweep(b *bed, session uint64) error {
	_, err := b.g.Propose(context.Background(),
		machine.AppendSweep(machine.AppendCommand(nil, machine.CmdSweep, b.c.Now().UnixMilli()),
			session, nil), nil)
	return err
}

// gate holds accept commands back until it is opened, so that submissions pile up.
type gate struct {
	*queuetest.Group
	open chan struct{}
}

func (g gate) Propose(ctx context.Context, data []byte, parts [][]byte) (any, error) {
	if kindOf(data) == machine.CmdAccept {
		<-g.open
	}
	return g.Group.Propose(ctx, data, parts)
}

func TestFrontIsBoundedAndGathers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t,
			Options{PendingMessages: 20, NewClock: func(time.Time) Clock { return wallClock{} }})
		g := gate{b.g, make(chan struct{})}
		if err := b.q.Start(t.Context(), g, b.h); err != nil {
			t.Fatal(err)
		}
		defer b.stop()
		answers := make(chan answer, 100)
		submit := func() {
			b.q.Submit(envelope("a@x.example", "b@y.example"), contentOf([]byte("x")),
				func(id mail.ID, f *smtp.Failure) { answers <- answer{id, f} })
			synctest.Wait()
		}
		for range 2 + 20 { // one with each proposer, the others wait
			submit()
		}
		if len(answers) != 0 {
			t.Fatalf("answered: %+v", <-answers)
		}
		submit()
		if a := <-answers; a.fail == nil || a.fail.Code != 452 || a.fail.Enhanced != "4.3.1" {
			t.Fatalf("%+v", a)
		}
		close(g.open)
		for range 22 {
			if a := <-answers; a.fail != nil {
				t.Fatal(a.fail)
			}
		}
		accepts := 0
		for _, e := range b.g.Log() {
			if kindOf(e.Data) == machine.CmdAccept {
				accepts++
			}
		}
		if accepts > 4 {
			t.Fatalf("%d commands for 22 messages that were waiting", accepts)
		}
	})
}

func TestBytesWaitingAreBounded(t *testing.T) {
	f := newFront(10_000, 100)
	sub := func(n int) submission {
		return submission{env: envelope("a@x.example", "b@y.example"),
			content: contentOf(make([]byte, n))}
	}
	if fail := f.submit(sub(50_000)); fail != nil { // alone, a message may be larger than the bound
		t.Fatal(fail)
	}
	if fail := f.submit(sub(1)); fail != failFull {
		t.Fatalf("%v", fail)
	}
	if got := f.takeSmall(nil); len(got) != 1 || f.mu.bytes != 0 {
		t.Fatalf("%d taken, %d octets", len(got), f.mu.bytes)
	}
	if fail := f.submit(sub(1)); fail != nil {
		t.Fatal(fail)
	}
}

func TestWhatCannotBeStoredIsRefused(t *testing.T) {
	b := newBed(t, Options{}).start()
	for _, c := range []struct {
		domain string
		want   string
	}{{"a\x00b.example", "5.1.3"}, {"", "5.1.3"},
		{string(bytes.Repeat([]byte("a"), machine.MaxDomain+1)),
			"5.1.3"}} {
		e := envelope("a@x.example")
		e.Recipients = []mail.Recipient{{Address: "u@x", Domain: c.domain}}
		if a := b.send(e, []byte("x")); a.fail == nil || a.fail.Enhanced != c.want {
			t.Errorf("domain %.10q: %v", c.domain, a.fail)
		}
	}
	if a := b.send(envelope("a@x.example"), []byte("x")); a.fail == nil ||
		a.fail.Enhanced != "5.5.1" {
		t.Errorf("no recipients: %v", a.fail)
	}
	c := contentOf([]byte("four"))
	c.Size = 5
	got := make(chan *smtp.Failure, 1)
	b.q.Submit(envelope("a@x.example", "b@y.example"), c,
		func(_ mail.ID, f *smtp.Failure) { got <- f })
	if f := <-got; f == nil || f.Code != 451 || !errors.Is(f, errContentSize) {
		t.Errorf("short content: %v", f)
	}
}

func TestStoppedQueueRefuses(t *testing.T) {
	b := newBed(t, Options{}).start()
	b.accept("a@x.example", "b@y.example")
	b.stop()
	if a := b.send(envelope("a@x.example", "b@y.example"), []byte("x")); a.fail == nil ||
		a.fail.Enhanced != "4.3.2" {
		t.Fatalf("%+v", a)
	}
	got := make(chan error, 1)
	if b.q.Settle([]Outcome{{State: Relayed}}, func(err error) { got <- err }) || <-got == nil {
		t.Fatal("a stopped queue took outcomes")
	}
}

func TestSettleIsRepeatedUntilKnown(t *testing.T) {
	tries := 0
	inBubble(t, Options{}, func(b *bed) {
		b.g.Fault = func(data []byte) queuetest.Fault {
			if kindOf(data) != machine.CmdSettle {
				return queuetest.None
			}
			tries++
			return []queuetest.Fault{queuetest.Refuse, queuetest.LoseAnswer, queuetest.LoseCommand,
				queuetest.None}[min(tries-1, 3)]
		}
	}, func(t *testing.T, b *bed) {
		id := b.accept("a@x.example", "b@y.example failure")
		b.settle(Outcome{ID: id, State: Failed, Attempt: mail.Attempt{At: time.Now(), Code: 550}})
		reports, err := b.q.PendingReports(ReportID{}, 10)
		if err != nil || len(reports) != 1 || tries != 4 {
			t.Fatalf("%d reports after %d tries, %v", len(reports), tries, err)
		}
	})
}

func TestSettlerSaysWhenItIsFull(t *testing.T) {
	s := newSettler(3, func([]Outcome) {})
	if !s.add(make([]Outcome, 0), nil) || !s.add([]Outcome{{State: Relayed}, {State: Relayed}},
		nil) {
		t.Fatal("full too early")
	}
	if s.add([]Outcome{{State: Relayed}}, nil) {
		t.Fatal("not full")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s.waitRoom(ctx) == nil {
		t.Fatal("room in a full settler")
	}
	s.take()
	if err := s.waitRoom(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// The budget is charged for a command's buffer once, and gets it back when the last item is
// released.
func TestBudgetOfSharedBuffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := mail.NewBudget(40_000)
		b := newBed(t,
			Options{Budget: budget, NewClock: func(time.Time) Clock { return wallClock{} }})
		g := gate{b.g, make(chan struct{})}
		if err := b.q.Start(t.Context(), g, b.h); err != nil {
			t.Fatal(err)
		}
		defer b.stop()
		var answered sync.WaitGroup
		answered.Add(9)
		for i := range 9 {
			b.q.Submit(envelope("a@x.example", "b@y.example", "c@z.example"),
				contentOf(bytes.Repeat([]byte{byte(i)}, 5000)), func(_ mail.ID, f *smtp.Failure) {
					if f != nil {
						t.Error(f)
					}
					answered.Done()
				})
			synctest.Wait()
		}
		close(g.open)
		answered.Wait()
		with := 0
		for _, it := range b.h.items {
			if it.Content != nil {
				with++
			}
		}
		if used := budget.Used(); used == 0 || used > budget.Limit()*3/4 || with == 0 ||
			with == len(b.h.items) {
			t.Fatalf("%d octets for %d of %d items", used, with, len(b.h.items))
		}
		for _, it := range b.h.items {
			if it.Content == nil {
				continue
			}
			if want := fmt.Sprint(b.readAll(it.Message)); fmt.Sprint(it.Content) != want {
				t.Fatal("content in memory differs from the stored one")
			}
			it.Release()
		}
		if used := budget.Used(); used != 0 {
			t.Fatalf("%d octets are left", used)
		}
	})
}

// Whatever answers are lost, a message that was acknowledged is there once, and one that was not is
// there once at most.
func TestLostAnswersAtRandom(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 3))
	var mu sync.Mutex
	calm := false
	inBubble(t, Options{Proposers: 3, Budget: mail.NewBudget(1 << 20)}, func(b *bed) {
		b.g.Fault = func([]byte) queuetest.Fault {
			mu.Lock()
			defer mu.Unlock()
			if calm {
				return queuetest.None
			}
			return []queuetest.Fault{0, 0, 0, queuetest.Refuse, queuetest.LoseAnswer,
				queuetest.LoseCommand}[rnd.IntN(6)]
		}
	}, func(t *testing.T, b *bed) {
		answers := make(map[string]answer)
		var all sync.WaitGroup
		for i := range 300 {
			sender, size := fmt.Sprintf("s%d@x.example", i), 100
			if i%50 == 0 {
				size = 2 << 20
			}
			all.Add(1)
			b.q.Submit(envelope(sender, "r@y.example"), contentOf(make([]byte, size)),
				func(id mail.ID, f *smtp.Failure) {
					defer all.Done()
					mu.Lock()
					defer mu.Unlock()
					answers[sender] = answer{id, f}
				})
			if i%7 == 0 {
				synctest.Wait() // proposers take what waits
			}
		}
		all.Wait()
		calm = true
		stored := make(map[string]mail.ID)
		if _, err := b.q.List(t.Context(), Filter{}, func(s *Stored, _ []uint32) bool {
			sender := s.Message.Envelope.Sender
			if _, twice := stored[sender]; twice {
				t.Errorf("%s is there twice", sender)
			}
			stored[sender] = s.Message.ID
			return true
		}); err != nil {
			t.Fatal(err)
		}
		acked := 0
		for sender, a := range answers {
			if a.fail == nil {
				acked++
			}
			if id, there := stored[sender]; a.fail == nil && (!there || id != a.id) {
				t.Errorf("%s was acknowledged as %v and is stored as %v", sender, a.id, id)
			}
		}
		if acked == 0 || acked == len(answers) {
			t.Errorf("%d of %d acknowledged: nothing was tested", acked, len(answers))
		}
		for _, it := range b.h.items {
			if it.Release != nil {
				it.Release()
			}
		}
		if used := b.q.opts.Budget.Used(); used != 0 {
			t.Errorf("%d octets of the budget are left", used)
		}
	})
}
