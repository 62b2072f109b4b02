package queue

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/rows"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue/machine"
	"github.com/postroad/postroad/queue/queuetest"
)

// pair is two members of one group, in virtual time.
type pair struct {
	group *queuetest.Cluster
	a, b  *bed
	rows  map[*bed]*queuetest.Member
}

// inPair runs a test with two members, of which a owns the queue.
func inPair(t *testing.T, test func(t *testing.T, p *pair)) {
	synctest.Test(t, func(t *testing.T) {
		p := &pair{
			group: &queuetest.Cluster{Refused: ErrRefused},
			rows:  map[*bed]*queuetest.Member{},
		}
		for n, m := range []**bed{&p.a, &p.b} {
			*m = newBed(t, Options{
				Member: uint16(
					n + 1,
				), NewClock: func(floor time.Time) Clock { return wallClock{floor} },
				Forward: forwarding{p.group},
			})
			machine := machineOf((*m).q)
			machine.Restored = (*m).q.Restored
			p.rows[*m] = p.group.Join(machine, nil)
			(*m).g = p.rows[*m].Group
			(*m).q.Open(p.rows[*m])
		}
		p.own(t, p.a)
		defer func() {
			p.group.Fault = nil
			p.a.q.Abandon()
			p.b.q.Abandon()
			p.a.q.Stop(t.Context())
			p.b.q.Stop(t.Context())
		}()
		test(t, p)
	})
}

// own makes a member lead and own; the other one has not heard of it.
func (p *pair) own(t *testing.T, m *bed) {
	t.Helper()
	p.group.Lead(p.rows[m])
	if err := m.q.Start(t.Context(), p.rows[m], m.h); err != nil {
		t.Fatal(err)
	}
}

// fail has the next command of a kind fail in some way.
func (p *pair) fail(kind machine.CommandType, how queuetest.Fault) {
	p.group.Fault = func(data []byte) queuetest.Fault {
		if kindOf(data) != kind || how == queuetest.None {
			return queuetest.None
		}
		defer func() { how = queuetest.None }()
		return how
	}
}

func submit(m *bed, e *mail.Envelope) <-chan answer {
	got := make(chan answer, 1)
	m.q.Submit(
		e,
		contentOf([]byte("x")),
		func(id mail.ID, f *smtp.Failure) { got <- answer{id, f} },
	)
	synctest.Wait()
	return got
}

// The command is on its way when the leader goes: its client hears what became of it at the next
// leader, whose scheduler hears of it too.
func TestUnknownOutcomeIsRepeatedAtTheNextLeader(t *testing.T) {
	for _, how := range []queuetest.Fault{queuetest.LoseCommand, queuetest.LoseAnswer} {
		inPair(t, func(t *testing.T, p *pair) {
			p.fail(machine.CmdAccept, how+queuetest.Depose)
			got := submit(p.a, envelope("s@x.example", "r@y.example"))
			p.own(t, p.b)
			p.a.q.Abandon()
			a := <-got
			if a.fail != nil || a.id.IsZero() {
				t.Fatalf("%v: %v", how, a.fail)
			}
			if s := p.b.q.Stats(); s.Messages != 1 || s.Accepted != 1 || p.b.load(a.id) == nil {
				t.Fatalf("%+v", s)
			}
			told := slices.Contains(p.b.h.changed, a.id)
			if how == queuetest.LoseCommand != told || len(p.b.h.items) != 0 {
				t.Fatalf(
					"told %v, items %v",
					told,
					p.b.h.items,
				) // in the log before b's epoch, it was there to be read
			}
		})
	}
}

func TestAbandonRefusesWhatWaits(t *testing.T) {
	inPair(t, func(t *testing.T, p *pair) {
		p.group.Fault = func(data []byte) queuetest.Fault {
			if kindOf(data) == machine.CmdAccept {
				return queuetest.LoseCommand
			}
			return queuetest.None
		}
		var under []<-chan answer
		for range 2 { // one with each proposer
			under = append(under, submit(p.a, envelope("s@x.example", "r@y.example")))
		}
		waiting := submit(p.a, envelope("s@x.example", "r@y.example"))
		from := time.Now()
		p.a.q.Abandon()
		if a := <-waiting; a.fail != failStopping || time.Since(from) > 0 {
			t.Fatalf("%+v after %v", a, time.Since(from))
		}
		if a := p.a.send(envelope("s@x.example", "r@y.example"),
			[]byte("x")); a.fail != failStopping {
			t.Fatalf("%+v", a)
		}
		if p.a.q.Owner() {
			t.Fatal("still the owner")
		}
		for _, c := range under {
			if a := <-c; a.fail == nil || a.fail.Enhanced != "4.3.0" {
				t.Fatalf("%+v", a)
			}
		}
		if took := time.Since(from); took < 50*time.Second || took > time.Minute {
			t.Fatalf("gave up after %v", took)
		}
	})
}

// A deposed owner's word does not count, not even if it was given in time and was only on its way
// for long.
func TestFence(t *testing.T) {
	inPair(t, func(t *testing.T, p *pair) {
		id := p.a.accept("s@x.example", "r@y.example")
		p.fail(machine.CmdSettle, queuetest.Delay)
		got := make(chan error, 1)
		p.a.q.Settle(
			[]Outcome{{ID: id, State: Failed, Attempt: mail.Attempt{At: time.Now(), Code: 550}}},
			func(err error) { got <- err },
		)
		<-time.After(settleLinger + rows.FirstPause/2) // it is under way, and will be repeated
		p.own(t, p.b)
		before := p.b.load(id)
		p.group.Release()
		if after := p.b.load(id); after == nil || after.Recipients[0] != before.Recipients[0] ||
			!after.Recipients[0].MaybeAttempted ||
			after.Reports != 0 {
			t.Fatalf("%+v", after)
		}
		p.a.q.Abandon()
		if err := <-got; err == nil {
			t.Fatal("the deposed owner was told that its outcome was recorded")
		}
		if room := p.a.q.Settle([]Outcome{{ID: id, State: Failed}},
			func(err error) { got <- err }); room ||
			<-got == nil ||
			p.a.q.SettleRoom(t.Context()) == nil {
			t.Fatal("took outcomes after the end of the term")
		}
	})
}

// TestRecall: deliveries that a member could not get recorded it records when it owns the queue
// again, before anything else, whether or not another owned it meanwhile. A refusal is forgotten.
func TestRecall(t *testing.T) {
	for _, between := range []bool{false, true} {
		inPair(t, func(t *testing.T, p *pair) {
			delivered, late, refused := p.a.accept(
				"s@x.example",
				"r@y.example",
			), p.a.accept(
				"s@x.example",
				"r@y.example",
			), p.a.accept(
				"s@x.example",
				"r@y.example",
			)
			p.group.Lead(nil)
			got := make(chan error, 1)
			outcomes := []Outcome{
				{ID: delivered, State: Relayed, Attempt: mail.Attempt{At: time.Now(), Code: 250}},
				{ID: refused, State: Failed, Attempt: mail.Attempt{At: time.Now(), Code: 550}},
			}
			p.a.q.Settle(outcomes, func(err error) { got <- err })
			<-time.After(settleLinger + rows.FirstPause/2) // proposed, in vain
			p.a.q.Abandon()
			if err := <-got; err == nil {
				t.Fatal("recorded by nobody")
			}
			p.a.q.Remember(
				[]Outcome{
					{ID: late, State: Relayed, Attempt: mail.Attempt{At: time.Now(), Code: 250}},
				},
			)
			if between {
				p.own(t, p.b)
				p.b.settle(
					Outcome{
						ID:      late,
						State:   Failed,
						Attempt: mail.Attempt{At: time.Now(), Code: 550},
					},
				)
				p.b.q.Abandon()
			}
			p.own(t, p.a)
			if p.a.load(delivered) != nil {
				t.Error("what was delivered is still in the queue")
			}
			if left := p.a.load(late); !between && left != nil ||
				between && (left == nil || left.Recipients[0].State != Failed) {
				t.Errorf(
					"what was delivered late, and settled by another meanwhile if %t: %+v",
					between,
					left,
				)
			}
			if left := p.a.load(refused); left == nil || !left.Recipients[0].MaybeAttempted {
				t.Errorf("what was refused in a term of the past: %+v", left)
			}
			if s := p.a.q.Stats(); s.Recalled != 2 {
				t.Errorf("%d recalled", s.Recalled)
			}
		})
	}
}

// An owner that has not heard of its end meets the fence when its node leads again.
func TestFenceWithinOneNode(t *testing.T) {
	inPair(t, func(t *testing.T, p *pair) {
		id := p.a.accept("s@x.example", "r@y.example")
		old := p.a.q.run.Load()
		p.own(t, p.b)
		p.group.Lead(p.rows[p.a])
		err := old.settleBatch(
			[]Outcome{{ID: id, State: Relayed, Attempt: mail.Attempt{At: time.Now(), Code: 250}}},
		)
		if !errors.Is(err, errFenced) || p.a.load(id) == nil || p.a.q.Owner() ||
			p.a.q.Stats().Fenced != 1 {
			t.Fatalf("%v, %+v", err, p.a.q.Stats())
		}
	})
}

func TestOwnAgainAtOnce(t *testing.T) {
	inPair(t, func(t *testing.T, p *pair) {
		first := p.a.q.ReportsDue()
		p.fail(machine.CmdAccept, queuetest.Delay)
		got := submit(p.a, envelope("s@x.example", "r@y.example"))
		p.a.q.Abandon()
		p.own(t, p.a)
		if a := <-got; a.fail != nil || !slices.Contains(p.a.h.changed, a.id) {
			t.Fatalf("%+v, changed %v", a, p.a.h.changed)
		}
		p.group.Release() // once more
		if s := p.a.q.Stats(); s.Accepted != 1 || s.AcceptedAfter451 != 0 {
			t.Fatalf("%+v", s)
		}
		id := p.a.accept("s@x.example", "r@y.example")
		p.a.settle(Outcome{ID: id, State: Failed, Attempt: mail.Attempt{At: time.Now(), Code: 550}})
		<-p.a.q.ReportsDue()
		if p.a.q.ReportsDue() == first {
			t.Fatal("the reporter of the first term would take the second's wake-up")
		}
		if s := p.a.q.Stats(); s.Moves[machine.AttemptFailed] != 1 {
			t.Fatalf("%+v", s)
		}
		p.group.Follow(p.rows[p.b], 1000)
		if s := p.b.q.Stats(); s.Moves[machine.AttemptFailed] != 0 || s.Recipients[Failed] != 1 {
			t.Fatalf("a move was counted twice: %+v", s)
		}
	})
}

// An epoch command that was long on its way does not end the term that began meanwhile.
func TestEpochThatComesLate(t *testing.T) {
	inPair(t, func(t *testing.T, p *pair) {
		p.a.q.Abandon()
		p.fail(machine.CmdEpoch, queuetest.Delay+queuetest.Depose)
		p.group.Lead(p.rows[p.b])
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.b.q.Start(ctx, p.rows[p.b], p.b.h); err == nil {
			t.Fatal("started without an epoch")
		}
		p.own(t, p.a)
		p.group.Release()
		id := p.a.accept("s@x.example", "r@y.example")
		p.a.settle(
			Outcome{ID: id, State: Relayed, Attempt: mail.Attempt{At: time.Now(), Code: 250}},
		)
		if !p.a.q.Owner() || !p.a.q.Empty() {
			t.Fatal("its term was ended")
		}
	})
}

func TestReadsWithoutOwning(t *testing.T) {
	inPair(t, func(t *testing.T, p *pair) {
		id := p.a.accept("s@x.example", "r@y.example")
		p.own(t, p.b)
		p.group.Follow(p.rows[p.a], 1000)
		q := New(Options{}) // a process that has applied nothing yet
		q.Open(p.rows[p.a])
		total, err := q.Count(t.Context(), Filter{})
		if err != nil || total.Messages != 1 || q.Stats().Messages != 1 {
			t.Fatalf("%+v, %v", total, err)
		}
		s, err := q.Load(id)
		if err != nil || s == nil || !s.Recipients[0].MaybeAttempted {
			t.Fatalf("%+v, %v", s, err)
		}
		if messages, _, err := q.Left(); messages != 1 || err != nil || q.Empty() || q.Owner() {
			t.Fatal(messages, err)
		}
		_, err = q.Hold(t.Context(), Filter{}, nil)
		if _, seal := q.Seal(t.Context()); !errors.Is(err, ErrRefused) ||
			!errors.Is(seal, ErrRefused) ||
			!errors.Is(q.DropReports(t.Context()), ErrRefused) {
			t.Fatalf("%v, %v", err, seal)
		}
		if _, err := New(Options{}).Load(id); err == nil {
			t.Fatal("read before it was open")
		}
	})
}

// A verb under way ends with the term.
func TestVerbEndsWithTheTerm(t *testing.T) {
	inPair(t, func(t *testing.T, p *pair) {
		p.a.accept("s@x.example", "r@y.example")
		p.fail(machine.CmdOperator, queuetest.LoseCommand+queuetest.Depose)
		got := make(chan error, 1)
		go func() {
			_, err := p.a.q.Hold(context.Background(), Filter{}, nil)
			got <- err
		}()
		synctest.Wait()
		p.a.q.Abandon()
		if err := <-got; err == nil || errors.Is(err, ErrRefused) {
			t.Fatalf("%v: it is unknown whether it was done", err)
		}
	})
}

func TestSeal(t *testing.T) {
	inPair(t, func(t *testing.T, p *pair) {
		id := p.a.accept("s@x.example", "r@y.example")
		if ok, err := p.a.q.Seal(t.Context()); ok || err != nil || p.a.q.Empty() {
			t.Fatal(ok, err)
		}
		p.a.settle(
			Outcome{ID: id, State: Relayed, Attempt: mail.Attempt{At: time.Now(), Code: 250}},
		)
		p.fail(machine.CmdAccept, queuetest.Delay)
		got := submit(p.a, envelope("s@x.example", "r@y.example"))
		if p.a.q.Empty() {
			t.Fatal("empty, with a submission under way")
		}
		if ok, err := p.a.q.Seal(t.Context()); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if a := <-got; a.fail == nil || a.fail.Code != 451 {
			t.Fatalf("%+v", a)
		}
		p.group.Release()
		if ok, err := p.a.q.Seal(t.Context()); !ok || err != nil || !p.a.q.Empty() {
			t.Fatal(ok, err)
		}
	})
}

// A stop waits for the clients of abandoned terms, as long as it may.
func TestStopWaitsForThePast(t *testing.T) {
	inPair(t, func(t *testing.T, p *pair) {
		p.fail(machine.CmdAccept, queuetest.LoseCommand+queuetest.Depose)
		got := submit(p.a, envelope("s@x.example", "r@y.example"))
		p.a.q.Abandon()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		from := time.Now()
		if err := p.a.q.Stop(ctx); err != nil || time.Since(from) != 5*time.Second {
			t.Fatal(err, time.Since(from))
		}
		if a := <-got; a.fail == nil || a.fail.Code != 451 {
			t.Fatalf("%+v", a)
		}
	})
}
