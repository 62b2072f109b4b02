package faults

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/bench/record"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// t0 is when histories begin. at returns a time so many seconds later.
var t0 = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return t0.Add(time.Duration(seconds * float64(time.Second))) }

// told is a try of one message for one recipient, as it goes well.
func told(id string) Try {
	return Try{Node: 1, Sent: mailtest.Sent{ID: id, Sum: record.SumOf([]byte(id)),
		QueueID: "Q" + id, Accepted: []string{id + "@d.example"}, At: at(1)}}
}

// came is a copy of a message from a node.
func came(id string, node int, seconds float64) mailtest.Delivery {
	return mailtest.Delivery{ID: id, Sender: "s@s.example", Recipients: []string{id + "@d.example"},
		Sum: record.SumOf([]byte(id)), Remote: netip.AddrPortFrom(hostOf(node), 4711),
		Accepted: at(seconds)}
}

// noted is what a node logged of the copy.
func noted(id string, node int, seconds float64, possible bool) Attempts {
	return Attempts{id + "@d.example": {{"Q" + id, node, at(seconds), possible}}}
}

// kill is a fault of node 1 at 10 s.
func kill() []Fault {
	return []Fault{{Kind: Kill, What: "SIGKILL n1", From: at(10), Until: at(12), Lost: []int{1}}}
}

// TestVerdicts judges histories by hand: each names the one tally that it must fill, or none.
func TestVerdicts(t *testing.T) {
	unknown := told("a")
	unknown.Accepted, unknown.Unknown = nil, []string{"a@d.example"}
	unknown.QueueID = ""
	late := told("a")
	late.Accepted, late.QueueID, late.PutOff, late.Late = nil, "", []string{"a@d.example"},
		"451 4.3.0"
	refused := told("a")
	refused.Accepted, refused.Refused = nil,
		[]mailtest.Refusal{{Recipient: "a@d.example", Reply: "550 no"}}
	other := came("a", 1, 2)
	other.Sum[0]++
	report := came("a", 1, 3)
	report.Sender = ""
	cut := []Fault{{Kind: Partition, What: "n1 alone", From: at(10), Until: at(20), Lost: []int{1}}}
	full := []Fault{{Kind: Full, What: "n1 full", From: at(10), Until: at(20), Lost: []int{1},
		Stuck: true}}
	lost := []Fault{{Kind: Rollback, From: at(20), Until: at(21), Forgot: at(4), Lost: []int{1}}}
	tries := []Try{told("a")}
	for _, c := range []struct {
		name string
		h    History
		bad  string // what must be found
	}{
		{"all well", History{Tries: tries, Deliveries: []mailtest.Delivery{came("a", 1, 2)}}, ""},
		{"lost", History{Tries: tries}, "lost"},
		{"still queued", History{Tries: tries, Held: map[string][]string{"Qa": {"a@d.example"}}},
			""},
		{"queued for another",
			History{Tries: tries, Held: map[string][]string{"Qa": {"b@d.example"}}}, "lost"},
		{"changed", History{Tries: tries, Deliveries: []mailtest.Delivery{other}}, "changed"},
		{"twice for no reason",
			History{Tries: tries, Deliveries: []mailtest.Delivery{came("a", 1, 2), came("a", 1, 3)},
				Attempts: noted("a", 1, 3.1, true)}, "unexcused"},
		{"twice because of a kill",
			History{Tries: tries, Deliveries: []mailtest.Delivery{came("a", 1, 9.5),
				came("a", 2, 12)}, Faults: kill(),
				Attempts: noted("a", 2, 12.1, true)}, ""},
		{"twice, and the kill came too late to explain it",
			History{Tries: tries, Deliveries: []mailtest.Delivery{came("a", 1, 7.5),
				came("a", 2, 12)}, Faults: kill(),
				Attempts: noted("a", 2, 12.1, true)}, "unexcused"},
		{"twice, and another was killed",
			History{Tries: tries, Deliveries: []mailtest.Delivery{came("a", 2, 9.5),
				came("a", 3, 12)}, Faults: kill(),
				Attempts: noted("a", 3, 12.1, true)}, "unexcused"},
		{"twice, not logged as possible",
			History{Tries: tries, Deliveries: []mailtest.Delivery{came("a", 1, 9.5),
				came("a", 2, 12)}, Faults: kill(),
				Attempts: noted("a", 2, 12.1, false)}, "unlogged"},
		{"twice, not logged at all",
			History{Tries: tries, Deliveries: []mailtest.Delivery{came("a", 1, 9.5),
				came("a", 2, 15)}, Faults: kill()}, "unlogged"},
		{"twice, another message logged",
			History{Tries: tries, Deliveries: []mailtest.Delivery{came("a", 1, 9.5),
				came("a", 2, 15)}, Faults: kill(),
				Attempts: Attempts{"a@d.example": {{"Qb", 2, at(15.05), true}}}}, "unlogged"},
		{"no answer, twice because of a kill",
			History{Tries: []Try{unknown}, Deliveries: []mailtest.Delivery{came("a", 1, 9.5),
				came("a", 2, 12)}, Faults: kill(),
				Attempts: noted("a", 2, 12.1, true)}, ""},
		{"twice, the log died with its node",
			History{Tries: tries, Deliveries: []mailtest.Delivery{came("a", 1, 9.5),
				came("a", 2, 15)},
				Faults: append(kill(), Fault{From: at(15.1), Lost: []int{2}})}, ""},
		{"thrice, two faults",
			History{Tries: tries, Deliveries: []mailtest.Delivery{came("a", 1, 9.5),
				came("a", 2, 15), came("a", 3, 18)},
				Faults: append(kill(), Fault{From: at(15.1), Lost: []int{2}}),
				Attempts: Attempts{"a@d.example": {{"Qa", 2, at(15.05), true},
					{"Qa", 3, at(18.1), true}}}}, ""},
		{"thrice, one fault",
			History{Tries: tries, Deliveries: []mailtest.Delivery{came("a", 1, 9.5),
				came("a", 2, 15), came("a", 3, 18)}, Faults: kill(),
				Attempts: Attempts{"a@d.example": {{"Qa", 2, at(15.05), true},
					{"Qa", 3, at(18.1), true}}}}, "unexcused"},
		// A paused owner that goes on where it was: its copy comes long after the pause began,
		// whichever copy is the first.
		{"after the pause",
			History{Tries: tries, Deliveries: []mailtest.Delivery{came("a", 2, 14),
				came("a", 1, 20)}, Faults: kill(),
				Attempts: noted("a", 1, 20.1, true)}, "unexcused"},
		{"after the pause, first",
			History{Tries: tries, Deliveries: []mailtest.Delivery{came("a", 1, 20),
				came("a", 2, 20.1)}, Faults: kill(),
				Attempts: noted("a", 2, 20.2, true)}, "unexcused"},
		{"no answer, came",
			History{Tries: []Try{unknown}, Deliveries: []mailtest.Delivery{came("a", 1, 2)}}, ""},
		{"no answer, did not come", History{Tries: []Try{unknown}}, ""},
		{"no answer, twice",
			History{Tries: []Try{unknown}, Deliveries: []mailtest.Delivery{came("a", 1, 2),
				came("a", 1, 3)}}, "unexcused"},
		{"came after a 451",
			History{Tries: []Try{late}, Deliveries: []mailtest.Delivery{came("a", 1, 2)}}, ""},
		{"refused for good", History{Tries: []Try{refused}}, "refused"},
		{"refused and delivered",
			History{Tries: []Try{refused}, Deliveries: []mailtest.Delivery{came("a", 1, 2)}},
			"refused unexpected"},
		{"never sent", History{Deliveries: []mailtest.Delivery{came("a", 1, 2)}}, "unexpected"},
		{"a report",
			History{Tries: tries, Deliveries: []mailtest.Delivery{came("a", 1, 2), report}},
			"reports"},
		{"cut off, within the lease",
			History{Faults: cut, Begun: map[int][]time.Time{1: {at(9), at(11.5), at(21)}}}, ""},
		{"cut off, after the lease",
			History{Faults: cut, Begun: map[int][]time.Time{1: {at(9), at(15)}, 2: {at(15)}}},
			"trespass"},
		{"cut off, delivered within the lease",
			History{Tries: tries, Deliveries: []mailtest.Delivery{came("a", 1, 10.8),
				came("a", 2, 15)}, Faults: cut,
				Attempts: noted("a", 2, 15.1, true)}, ""},
		{"disk full, delivered and not noted",
			History{Tries: tries, Deliveries: []mailtest.Delivery{came("a", 1, 18),
				came("a", 2, 25)}, Faults: full,
				Attempts: noted("a", 2, 25.1, true)}, ""},
		{"disk was full",
			History{Tries: tries, Deliveries: []mailtest.Delivery{came("a", 1, 28),
				came("a", 2, 30)}, Faults: full,
				Attempts: noted("a", 2, 30.1, true)}, "unexcused"},
		{"forgotten by a majority", History{Tries: tries, Faults: lost,
			Deliveries: []mailtest.Delivery{came("a", 2, 5), came("a", 3, 22)},
			Attempts:   noted("a", 3, 22.1, false)}, ""},
		{"delivered before what was forgotten", History{Tries: tries, Faults: lost,
			Deliveries: []mailtest.Delivery{came("a", 2, 1), came("a", 3, 22)},
			Attempts:   noted("a", 3, 22.1, false)}, "unexcused"},
		{"named by who stopped", History{Tries: tries, Named: map[string]bool{"Qa": true}}, ""},
	} {
		v := Check(&c.h, Rules{})
		if got := strings.Join(v.findings(), " "); got != c.bad || v.OK() != (c.bad == "") {
			t.Errorf("%s: found %q, want %q\n%v%v", c.name, got, c.bad, v, v.Faults(&c.h))
		}
	}
}

// findings names the tallies that are not empty.
func (v *Verdict) findings() (names []string) {
	for _, row := range []struct {
		name string
		n    int
	}{{"lost", v.Lost.N}, {"changed", v.Changed.N}, {"unexcused", v.Unexcused.N},
		{"unlogged", v.Unlogged.N}, {"refused", v.Refused.N},
		{"unexpected", v.Unexpected.N}, {"reports", v.Reports}, {"trespass", v.Trespass.N}} {
		if row.n > 0 {
			names = append(names, row.name)
		}
	}
	return names
}

// Further copies are counted at the fault that explains them.
func TestDuplicatesByFault(t *testing.T) {
	h := &History{Tries: []Try{told("a"), told("b")},
		Faults: append([]Fault{{Kind: Pause, What: "SIGSTOP n2", From: at(1), Lost: []int{2}}},
			kill()...),
		Deliveries: []mailtest.Delivery{came("a", 1, 9.5), came("a", 2, 12), came("b", 1, 9)},
		Attempts:   noted("a", 2, 12.1, true)}
	h.Faults[1].UnderWay = map[int]int{1: 7, 2: 9}
	v := Check(h, Rules{})
	if !v.OK() || v.Duplicates != 1 || v.ByFault[0].N != 0 || v.ByFault[1].N != 1 {
		t.Errorf("%+v", v)
	}
	if text := v.Faults(h); !strings.Contains(text, "SIGKILL n1 for 2.0 s") ||
		!strings.Contains(text,
			"1 further copies,    7 transactions under way; "+
				"the first copies came -0.50 to -0.50 s") {
		t.Error(text)
	}
}

// A copy of what a salvage put in again is explained if its attempt was logged as a possible one.
func TestSalvagedCopies(t *testing.T) {
	h := &History{Tries: []Try{told("a")}, Deliveries: []mailtest.Delivery{came("a", 1, 1),
		came("a", 1, 9)},
		Attempts: noted("a", 1, 9.1, true)}
	if v := Check(h, Rules{}); v.Unexcused.N != 1 || v.Salvaged != 0 {
		t.Errorf("not named: %+v", v)
	}
	h.Named = map[string]bool{"Qa": true}
	if v := Check(h, Rules{}); !v.OK() || v.Salvaged != 1 {
		t.Errorf("named: %+v", v)
	}
	h.Attempts = noted("a", 1, 9.1, false)
	if v := Check(h, Rules{}); v.Unexcused.N != 1 {
		t.Errorf("named, but not logged: %+v", v)
	}
}
