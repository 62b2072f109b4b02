package record

import (
	"strings"
	"testing"
	"time"
)

// run is a clean run of messages that a test spoils before it is checked.
type run struct {
	sent     []*Sent
	received []*Received
}

func cleanRun(n int) *run {
	r := &run{}
	for i := range n {
		r.sent = append(r.sent, sentMessage(i))
		r.received = append(r.received, receivedMessage(i))
	}
	return r
}

func (r *run) check(t *testing.T, rules Rules) *Report {
	t.Helper()
	s, d := NewSentLog(), NewReceivedLog()
	for _, m := range r.sent {
		must(t, s.Add(m))
	}
	for _, m := range r.received {
		must(t, d.Add(m))
	}
	return Check(s, d, rules)
}

// counts are what a report says, in this order: lost, changed, duplicated, excused, unexpected,
// reordered, refused.
type counts [7]int

func countsOf(r *Report) counts {
	return counts{r.Lost.N, r.Changed.N, r.Duplicated.N, r.Excused.N, r.Unexpected.N, r.Reordered.N,
		r.Refused.N}
}

// TestCheckFinds: each planted fault is found, and nothing else.
func TestCheckFinds(t *testing.T) {
	for _, c := range []struct {
		name  string
		rules Rules
		plant func(*run)
		want  counts
		ok    bool
		says  string
	}{
		{"nothing", Rules{Order: ByConnection}, func(*run) {}, counts{}, true,
			"100 recipients acknowledged: 100 delivered"},
		{"domain in upper case", Rules{}, func(r *run) {
			r.received[3].Recipients[0] = "r3@A.EXAMPLE"
		}, counts{}, true, ""},
		{"loss", Rules{}, func(r *run) { r.received = append(r.received[:5], r.received[6:]...) },
			counts{0: 1}, false, "lost: run-1-5 to=<r5@a.example> queue=Q5"},
		{"one recipient of two lost", Rules{}, func(r *run) {
			r.sent[5].Recipients = append(r.sent[5].Recipients,
				Recipient{"x@b.example", Accepted, 250})
		}, counts{0: 1}, false, "lost: run-1-5 to=<x@b.example>"},
		{"change", Rules{}, func(r *run) { r.received[7].Sum[7]++ }, counts{1: 1}, false,
			"changed: run-1-7"},
		{"not hashed", Rules{}, func(r *run) { r.sent[7].Sum = Sum{} }, counts{}, true, ""},
		{"duplicate", Rules{}, func(r *run) { r.received = append(r.received, r.received[1]) },
			counts{2: 1}, false, "duplicated: run-1-1"},
		{"duplicate for a kill", Rules{Kills: []time.Time{at(100)}},
			func(r *run) { r.received = append(r.received, r.received[1]) }, counts{3: 1}, true,
			""},
		{"duplicate long before a kill", Rules{Kills: []time.Time{at(9000)}},
			func(r *run) { r.received = append(r.received, r.received[1]) }, counts{2: 1}, false,
			""},
		{"sent twice", Rules{}, func(r *run) {
			r.sent, r.received = append(r.sent, r.sent[1]), append(r.received, r.received[1])
		}, counts{}, true, "101 recipients acknowledged: 101 delivered"},
		{"sent twice, one lost", Rules{}, func(r *run) { r.sent = append(r.sent, r.sent[1]) },
			counts{0: 1}, false, ""},
		{"of nobody", Rules{}, func(r *run) { r.received[9].ID = "other" }, counts{0: 1, 4: 1},
			false, "nobody sent it"},
		{"refused", Rules{}, func(r *run) {
			r.sent[2].Recipients[0] = Recipient{"r2@a.example", Refused, 452}
			r.received = append(r.received[:2], r.received[3:]...)
		}, counts{6: 1}, true, "code=452"},
		{"refused and arrived", Rules{}, func(r *run) { r.sent[2].Recipients[0].Outcome = Refused },
			counts{4: 1, 6: 1}, false, "was not taken"},
		{"not sent and arrived", Rules{}, func(r *run) {
			r.sent[2].Recipients[0].Outcome = NotSent
		}, counts{4: 1}, false, ""},
		{"uncertain, twice", Rules{}, func(r *run) {
			r.sent[2].Recipients[0].Outcome = Unknown
			r.received = append(r.received, r.received[2])
		}, counts{}, true, "1 uncertain, of which 1 arrived"},
		{"uncertain, not arrived", Rules{}, func(r *run) {
			r.sent[2].Recipients[0].Outcome = Unknown
			r.received = append(r.received[:2], r.received[3:]...)
		}, counts{}, true, "1 uncertain, of which 0 arrived"},
		{"no ID", Rules{}, func(r *run) {
			r.received = append(r.received, &Received{Sender: "x@y", Recipients: []string{"z@y"}})
		}, counts{}, true, "(1 foreign)"},
		{"report", Rules{}, func(r *run) {
			r.received = append(r.received, r.received[2])
			r.received[2].Sender = ""
		}, counts{0: 1}, false, "(2 foreign)"},
		{"out of order on a connection", Rules{Order: ByConnection}, func(r *run) {
			r.received[3], r.received[13] = r.received[13], r.received[3]
		}, counts{5: 1}, false, "out of order: run-1-3"},
		{"out of order on two connections", Rules{Order: ByConnection}, func(r *run) {
			r.received[3], r.received[4] = r.received[4], r.received[3]
		}, counts{}, true, ""},
		{"out of order for a recipient", Rules{Order: ByRecipient}, func(r *run) {
			for _, i := range []int{3, 13} {
				r.sent[i].Recipients[0].Address, r.received[i].Recipients[0] = "same@a.example",
					"same@a.example"
			}
			r.received[3], r.received[13] = r.received[13], r.received[3]
		}, counts{5: 1}, false, "out of order: run-1-3"},
		{"at the same time for a recipient", Rules{Order: ByRecipient}, func(r *run) {
			for _, i := range []int{3, 5} {
				r.sent[i].Recipients[0].Address, r.received[i].Recipients[0] = "same@a.example",
					"same@a.example"
			}
			r.received[3], r.received[5] = r.received[5], r.received[3]
		}, counts{}, true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := cleanRun(100)
			c.plant(r)
			got := r.check(t, c.rules)
			if countsOf(got) != c.want || got.OK() != c.ok ||
				!strings.Contains(got.String(), c.says) {
				t.Errorf("counts %v, want %v; ok %v, want %v; %q is to be in\n%v", countsOf(got),
					c.want, got.OK(), c.ok, c.says, got)
			}
		})
	}
}

// TestFirstFindings: of many findings all are counted and the first are kept.
func TestFirstFindings(t *testing.T) {
	r := cleanRun(100)
	r.received = nil
	if got := r.check(t, Rules{}); got.Lost.N != 100 || len(got.Lost.First) != maxFindings ||
		!strings.Contains(got.String(), "lost: and 80 more") {
		t.Errorf("%v", got)
	}
}

// TestRates: a message counts once for each domain, in its second.
func TestRates(t *testing.T) {
	r := &run{}
	for i := range 30 {
		m := receivedMessage(i)
		m.Accepted = at(i * 100)
		m.Recipients = []string{"a@a.example", "b@A.example", "c@b.example"}
		r.received = append(r.received, m)
	}
	d := r.check(t, Rules{}).Domains
	if len(d) != 2 || d[0].Domain != "a.example" || d[0].Messages != 30 || d[0].Peak() != 10 ||
		len(d[0].PerSecond) != 3 || d[0].Mean() != 10 {
		t.Errorf("%+v", d)
	}
}

// BenchmarkCheck compares a million messages.
func BenchmarkCheck(b *testing.B) {
	s, d := NewSentLog(), NewReceivedLog()
	for i := range 1_000_000 {
		if s.Add(sentMessage(i)) != nil || d.Add(receivedMessage(i)) != nil {
			b.Fatal("adding")
		}
	}
	for b.Loop() {
		if r := Check(s, d, Rules{}); !r.OK() {
			b.Fatal(r)
		}
	}
}
