package queue

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/internal/mail"
)

// failed is the outcome of a recipient that was refused.
func failed(id mail.ID, number uint32, domain string) Outcome {
	return Outcome{ID: id, Recipient: number, Domain: domain, State: Failed,
		WasDue: id.Time(), Attempt: mail.Attempt{At: time.Now(), Code: 550, Enhanced: "5.1.1",
			Text: "no such user"}}
}

// due returns the recipients of each report that is due.
func (b *bed) due() (all [][]uint32) {
	b.t.Helper()
	found, err := b.q.PendingReports(ReportID{}, 100)
	if err != nil {
		b.t.Fatal(err)
	}
	for i := range found {
		var numbers []uint32
		for _, r := range found[i].Recipients {
			numbers = append(numbers, r.Number)
		}
		all = append(all, numbers)
	}
	return all
}

// Failures of one message that come one after the other are one report, in the end.
func TestFailuresAreReportedTogether(t *testing.T) {
	inBubble(t, Options{}, func(*bed) {}, func(t *testing.T, b *bed) {
		id := b.accept("s@x.example", "a@y.example", "b@z.example", "c@w.example", "d@v.example")
		m := b.load(id).Message
		recorded := 0
		fail := func(numbers ...uint32) {
			var all []Outcome
			for _, n := range numbers {
				all = append(all, failed(id, n, m.Envelope.Recipients[n].Domain))
			}
			if !b.q.SettleMessage(m, all, func(err error) {
				if err != nil {
					t.Error(err)
				}
				recorded++
			}) {
				t.Error("no room")
			}
		}
		for n := range uint32(3) {
			fail(n)
			time.Sleep(togetherQuiet - time.Second)
		}
		synctest.Wait()
		if all := b.due(); len(all) != 0 || recorded != 0 {
			t.Fatalf("recorded at once: %v", all)
		}
		if n := b.q.Stats().WaitingOutcomes; n != 3 {
			t.Errorf("%d outcomes wait, want 3", n)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if all := b.due(); len(all) != 1 || !slices.Equal(all[0], []uint32{0, 1, 2}) ||
			recorded != 3 {
			t.Fatalf("due are %v, %d calls answered; want one of three", all, recorded)
		}
		// the last waits for others, too, but not for ever
		fail(3)
		time.Sleep(togetherQuiet + time.Second)
		synctest.Wait()
		if all := b.due(); len(all) != 2 || recorded != 4 {
			t.Fatalf("due are %v, %d calls answered", all, recorded)
		}
	})
}

// Failures that never end are reported after a minute; a verb, the end of the term and too much
// that waits end the waiting at once. Nothing but failures waits.
func TestFailuresDoNotWaitForEver(t *testing.T) {
	inBubble(t, Options{}, func(*bed) {}, func(t *testing.T, b *bed) {
		var to []string
		for range 40 {
			to = append(to, "u@y.example")
		}
		id := b.accept("s@x.example", to...)
		m := b.load(id).Message
		started := time.Now()
		for n := uint32(0); len(b.due()) == 0; n++ {
			b.q.SettleMessage(m, []Outcome{failed(id, n, "y.example")}, nil)
			time.Sleep(5 * time.Second)
			synctest.Wait()
		}
		if took := time.Since(started); took < togetherLongest ||
			took > togetherLongest+6*time.Second {
			t.Errorf("recorded after %v", took)
		}
		b.q.SettleMessage(m, []Outcome{failed(id, 30, "y.example")}, nil)
		if _, err := b.q.Hold(t.Context(), Filter{}, nil); err != nil {
			t.Fatal(err)
		}
		if all := b.due(); len(all) < 2 || !slices.Contains(all[len(all)-1], 30) {
			t.Errorf("the verb came before what was decided: due are %v", all)
		}
	})
	inBubble(t, Options{}, func(*bed) {}, func(t *testing.T, b *bed) {
		id := b.accept("s@x.example", "a@y.example", "b@y.example", "c@y.example")
		m := b.load(id).Message
		done := make(chan error, 1)
		delivered := Outcome{ID: id, Recipient: 0, Domain: "y.example", State: Relayed,
			WasDue: id.Time(), Attempt: mail.Attempt{At: time.Now(), Code: 250}}
		b.q.SettleMessage(m, []Outcome{delivered, failed(id, 1, "y.example")},
			func(err error) { done <- err })
		time.Sleep(time.Second)
		synctest.Wait()
		if s := b.load(id).Recipients; s[0].State != Relayed || s[1].State != Ready {
			t.Errorf("after a second: %v, %v", s[0].State, s[1].State)
		}
		b.stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		b.start()
		if s := b.load(id).Recipients; s[1].State != Failed || len(b.due()) != 1 {
			t.Errorf("after the term: %v, due are %v", s[1].State, b.due())
		}
		all := b.accept("s@x.example", "a@y.example", "b@y.example")
		b.q.SettleMessage(b.load(all).Message,
			[]Outcome{failed(all, 0, "y.example"), failed(all, 1, "y.example")}, nil)
		time.Sleep(time.Second)
		synctest.Wait()
		if len(b.due()) != 2 {
			t.Error("the failures of all recipients of a message wait")
		}
		put := failed(id, 2, "y.example")
		put.State, put.Due = Deferred, time.Now().Add(time.Minute)
		b.q.SettleMessage(m, []Outcome{put}, nil)
		time.Sleep(time.Second)
		synctest.Wait()
		if s := b.load(id).Recipients; s[2].State != Deferred {
			t.Error("what is put off waits")
		}
	})
	inBubble(t, Options{}, func(*bed) {}, func(t *testing.T, b *bed) {
		for range togetherMost + 10 {
			id := b.accept("s@x.example", "a@y.example", "b@y.example")
			b.q.SettleMessage(b.load(id).Message, []Outcome{failed(id, 0, "y.example")}, nil)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := len(b.due()); n != 10 {
			t.Errorf("%d are recorded beyond the bound, want 10", n)
		}
	})
}
