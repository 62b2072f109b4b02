package load

import (
	"context"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// TestOutcomes has a server refuse, cut and keep silent; what the generator says of each message is
// what the server knows of it.
func TestOutcomes(t *testing.T) {
	for _, pipelining := range []Pipelining{PipelineOff, PipelineMessage, PipelineStream} {
		t.Run(pipelining.String(), func(t *testing.T) {
			s := sink(t, mailtest.SinkOptions{Hook: func(s *mailtest.Step) (a mailtest.Action) {
				has := func(part string) bool { return strings.Contains(s.ID, part) }
				switch {
				case s.At == mailtest.AtRcpt && strings.HasPrefix(s.Recipient, "r3@"):
					a.Reply = "550 5.1.1 who?"
				case s.At == mailtest.AtEnd && has("-0000000005"):
					a.Reply = "451 4.3.0 later"
				case s.At == mailtest.AtEnd && has("-0000000007"):
					a.Cut = true
				case s.At == mailtest.AtRcpt && strings.HasPrefix(s.Recipient, "r9@"):
					a.Cut = true
				}
				return a
			}})
			var got sent
			r := run(t, Options{
				Addr: s.Addr(), Messages: 20, Pipelining: pipelining, Hash: true, OnSent: got.add,
				Content: Content{Run: "x"},
				Retries: 1, RetryAfter: time.Millisecond,
			})
			told := map[Outcome]int64{}
			want := map[string]Outcome{"x-0000000003": RefusedForGood,
				"x-0000000005": RefusedForNow, "x-0000000007": Unknown, "x-0000000009": Lost}
			for id, m := range got.all {
				outcome, special := want[id]
				if !special {
					outcome = Accepted
				}
				told[m.Outcome]++
				// With the next message's commands behind a content, the cut that these meet can
				// take its reply along; so it can that of a second attempt, which may come
				// anywhere, and one behind a cut is lost.
				second := outcome == RefusedForNow && m.Attempts == 2
				cut := pipelining == PipelineStream && (m.Outcome == Unknown &&
					(!special || second) || m.Outcome == Lost && second)
				if m.Outcome != outcome && !cut {
					t.Errorf("message %s is %v, not %v", id, m.Outcome, outcome)
				}
				if again := m.Attempts == 2; special &&
					again != (outcome == RefusedForNow || outcome == Lost) {
					t.Errorf("message %s, %v: %d attempts", id, outcome, m.Attempts)
				}
			}
			agree(t, &got, s)
			counts := map[Outcome]int64{Accepted: r.Accepted, RefusedForGood: r.RefusedForGood,
				RefusedForNow: r.RefusedForNow, Unknown: r.Unknown, Lost: r.Lost}
			maps.DeleteFunc(counts, func(_ Outcome, n int64) bool { return n == 0 })
			if len(got.all) != 20 || !maps.Equal(counts, told) || r.Retries < 2 ||
				r.ConnectionsCut < 3 {
				t.Errorf("%v told, counted %+v", told, r.Counts)
			}
		})
	}
}

// TestRetries: what is refused for now is accepted at the second attempt, and only those recipients
// are tried again.
func TestRetries(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	s := sink(t, mailtest.SinkOptions{Hook: func(s *mailtest.Step) (a mailtest.Action) {
		mu.Lock()
		defer mu.Unlock()
		if s.At == mailtest.AtRcpt {
			if seen[s.Recipient]++; seen[s.Recipient] == 1 && strings.Contains(s.Recipient, ".1@") {
				a.Reply = "450 4.2.1 greylisted"
			}
		}
		return a
	}})
	r := run(t, Options{
		Addr: s.Addr(), Messages: 10, Connections: 2, Pipelining: PipelineMessage,
		Envelope: Envelope{Recipients: 3}, Retries: 2, RetryAfter: time.Millisecond,
	})
	if r.Accepted != 10 || r.RecipientsAccepted != 30 || r.Retries != 10 ||
		r.RecipientsRefused != 0 {
		t.Errorf("%+v", r.Counts)
	}
	for recipient, n := range seen {
		want := 1
		if strings.Contains(recipient, ".1@") {
			want = 2
		}
		if n != want {
			t.Errorf("%s was tried %d times", recipient, n)
		}
	}
}

// TestOpenLoop: one connection is stopped while others would be free; messages that were due
// meanwhile go elsewhere, and the rate is kept.
func TestOpenLoop(t *testing.T) {
	release := make(chan struct{})
	var held atomic.Bool
	s := sink(t, mailtest.SinkOptions{})
	l, err := Start(Options{Addr: s.Addr(), Connections: 3, Rate: 400, Messages: 200,
		Timeout: 20 * time.Second, OnSent: func(m *Sent) {
			if m.Number == 100 && held.CompareAndSwap(false, true) {
				close(release)
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	<-release
	l.SetRate(2000)
	r, err := l.Wait(t.Context())
	if err != nil || r.Accepted != 200 || r.Overdue != 0 {
		t.Fatalf("%v, %+v", err, r)
	}
	if r.Seconds < 0.29 { // 100 at 400/s and 99 at 2,000/s
		t.Errorf("200 messages took %.3f s", r.Seconds)
	}
	if wait, whole := r.Phases["wait"], r.Phases["whole"]; wait.Count != 200 ||
		whole.Max < wait.Max {
		t.Errorf("wait %+v, whole %+v", wait, whole)
	}
}

// TestNobodyThere: a load ends when no connection can be opened.
func TestNobodyThere(t *testing.T) {
	addr, err := mailtest.FreeAddr("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, Options{Addr: addr, Connections: 2, Messages: 5, Reconnects: 1})
	if r.Begun != 0 || r.Connections != 0 || r.ConnectionsFailed != 4 || len(r.Failures) != 1 ||
		r.Failures[0].At != "connect" {
		t.Errorf("%+v", r)
	}
}

// TestSilence: a server that says nothing is given up after the time-out, at each step.
func TestSilence(t *testing.T) {
	for _, at := range []mailtest.At{mailtest.AtConnect, mailtest.AtMail, mailtest.AtEnd} {
		s := sink(t, mailtest.SinkOptions{Hook: func(s *mailtest.Step) (a mailtest.Action) {
			if s.At == at {
				a.Delay = time.Minute
			}
			return a
		}})
		r := run(t, Options{Addr: s.Addr(), Messages: 1, Reconnects: 1,
			Timeout: 200 * time.Millisecond})
		lost, unknown := int64(0), int64(0)
		switch at {
		case mailtest.AtMail:
			lost = 1
		case mailtest.AtEnd:
			unknown = 1
		}
		if r.Lost != lost || r.Unknown != unknown || len(r.Failures) != 1 ||
			!strings.Contains(r.Failures[0].Text, "no reply to") {
			t.Errorf("step %v: %+v", at, r)
		}
	}
}

// TestStop: what is under way when the context ends is finished, and nothing else begun.
func TestStop(t *testing.T) {
	for _, rate := range []float64{0, 1000} {
		ctx, cancel := context.WithCancel(t.Context())
		var got sent
		s := sink(t, mailtest.SinkOptions{})
		l, err := Start(Options{Addr: s.Addr(), Connections: 4, Rate: rate,
			Timeout: 20 * time.Second, Hash: true, OnSent: func(m *Sent) {
				if got.add(m); m.Number == 50 {
					cancel()
				}
			}})
		if err != nil {
			t.Fatal(err)
		}
		r, err := l.Wait(ctx)
		if err != nil || r.Accepted != r.Begun || r.Accepted < 51 ||
			int(r.Accepted) != s.Accepted() || r.ConnectionsCut != 0 {
			t.Errorf("rate %v: %v, %+v, the sink has %d", rate, err, r, s.Accepted())
		}
		agree(t, &got, s)
	}
}

// TestOptions: what makes no sense is refused.
func TestOptions(t *testing.T) {
	for _, o := range []Options{
		{}, {Addr: "nowhere"}, {Addr: "h:25", Connections: -1}, {Addr: "h:25", Rate: -1},
		{Addr: "h:25", Chunk: 10},
		{Addr: "h:25", Helo: "a b"}, {Addr: "h:25", Envelope: Envelope{To: []string{"a>b"}}},
		{Addr: "h:25", Content: Content{Run: "a-b"}},
		{Addr: "h:25", Content: Content{Varied: true, Bodies: &Bodies{}}},
		{Addr: "h:25", Helo: strings.Repeat("a", 400)},
	} {
		if _, err := Start(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}
