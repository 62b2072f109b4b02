package faults

import (
	"fmt"
	"strings"
	"testing"

	"github.com/postroad/postroad/bench/record"
	"github.com/postroad/postroad/internal/mailtest"
)

// charged is message n of the operators, accepted at 1 s.
func charged(n int) Try {
	id := fmt.Sprintf("v%d", n)
	return Try{Node: 1, Sent: mailtest.Sent{ID: id, Sum: record.SumOf([]byte(id)), QueueID: "Q" + id, Accepted: []string{id + "@" + HandledDomain}, At: at(1)}}
}

// reached is a copy of it from node 1, begun and accepted then.
func reached(n int, begun, accepted float64) mailtest.Delivery {
	d := came(fmt.Sprintf("v%d", n), 1, accepted)
	d.Recipients, d.Started = []string{d.ID + "@" + HandledDomain}, at(begun)
	return d
}

// reportOn is a report on it.
func reportOn(n int) mailtest.Delivery {
	d := came("", 1, 30)
	d.Sender, d.Recipients = "", []string{fmt.Sprintf("v%d@%s", n, senders)}
	return d
}

// verb is a command about message 0: exit status, recipients, and those in flight.
func verb(name string, from, until float64, exit int, done, flying int64) Verb {
	v := Verb{Verb: name, ID: "Qv0", Node: 2, From: at(from), Until: at(until), Exit: exit, Done: done, InFlight: flying}
	if name == "count" || name == "list" || name == "suspend" || name == "resume" {
		v.ID, v.Domain = "", HandledDomain
	}
	return v
}

// TestVerdictsOnVerbs: what an operator was told, what arrived when, and whether that fits.
func TestVerdictsOnVerbs(t *testing.T) {
	listed := verb("list", 10, 11, 0, 1, 0)
	listed.Listed = []string{"Qv0"}
	for _, c := range []struct {
		name  string
		verbs []Verb
		came  []mailtest.Delivery
		fault []Fault
		bad   bool
	}{
		{"held and released", []Verb{verb("hold", 2, 3, 0, 1, 0), verb("release", 8, 9, 0, 1, 0)}, []mailtest.Delivery{reached(0, 8.5, 9)}, nil, false},
		{"delivered while held", []Verb{verb("hold", 2, 3, 0, 1, 0), verb("release", 8, 9, 0, 1, 0)}, []mailtest.Delivery{reached(0, 5, 5.1)}, nil, true},
		{"under way at its hold, and not told", []Verb{verb("hold", 2, 3, 0, 1, 0)}, []mailtest.Delivery{reached(0, 1.5, 3.2)}, nil, true},
		{"under way at its hold, and told", []Verb{verb("hold", 2, 3, 0, 0, 1)}, []mailtest.Delivery{reached(0, 1.5, 3.2)}, nil, false},
		{"tried again though held", []Verb{verb("hold", 2, 3, 0, 0, 1)}, []mailtest.Delivery{reached(0, 7, 7.2)}, nil, true},
		{"a hold without a promise", []Verb{verb("hold", 2, 3, 75, 0, 0)}, []mailtest.Delivery{reached(0, 7, 7.2)}, nil, false},
		{"nothing to hold", []Verb{verb("hold", 2, 3, 0, 0, 0)}, []mailtest.Delivery{reached(0, 7, 7.2)}, nil, true},
		{"nothing to hold any more", []Verb{verb("hold", 2, 3, 0, 0, 0)}, []mailtest.Delivery{reached(0, 1, 1.2)}, nil, false},
		{"held twice", []Verb{verb("hold", 2, 3, 75, 0, 0), verb("hold", 4, 5, 0, 0, 0), verb("release", 6, 7, 0, 1, 0)}, []mailtest.Delivery{reached(0, 7, 7.2)}, nil, false},
		{"nothing to release", []Verb{verb("hold", 2, 3, 0, 1, 0), verb("release", 6, 7, 0, 0, 0), verb("release", 8, 9, 0, 1, 0)}, []mailtest.Delivery{reached(0, 9, 9.2)}, nil, true},
		{"removed", []Verb{verb("remove", 2, 3, 0, 1, 0)}, nil, nil, false},
		{"delivered after its removal", []Verb{verb("remove", 2, 3, 0, 1, 0)}, []mailtest.Delivery{reached(0, 19, 20)}, nil, true},
		{"removed under way, and told", []Verb{verb("remove", 2, 3, 0, 0, 1)}, []mailtest.Delivery{reached(0, 1.9, 3.4)}, nil, false},
		{"its end was on its way from a node that died", []Verb{verb("remove", 11, 12, 0, 1, 0)}, []mailtest.Delivery{reached(0, 9.5, 11.5)}, kill(), false},
		{"begun by a node that had died", []Verb{verb("remove", 11, 12, 0, 1, 0)}, []mailtest.Delivery{reached(0, 12.6, 12.8)}, kill(), true},
		{"perhaps removed", []Verb{verb("remove", 2, 3, 75, 0, 0)}, nil, nil, false},
		{"nothing to remove", []Verb{verb("remove", 2, 3, 0, 0, 0)}, []mailtest.Delivery{reached(0, 9, 9.2)}, nil, true},
		{"failed", []Verb{verb("fail", 2, 3, 0, 1, 0)}, []mailtest.Delivery{reportOn(0)}, nil, false},
		{"failed without a word", []Verb{verb("fail", 2, 3, 0, 1, 0)}, nil, nil, true},
		{"not shown", []Verb{verb("show", 2, 3, 65, 0, 0)}, []mailtest.Delivery{reached(0, 9, 9.2)}, nil, true},
		{"not traced", []Verb{verb("trace", 2, 3, 0, 0, 0)}, []mailtest.Delivery{reached(0, 9, 9.2)}, nil, true},
		{"traced", []Verb{verb("trace", 2, 3, 0, 1, 0)}, []mailtest.Delivery{reached(0, 9, 9.2)}, nil, false},
		{"counted", []Verb{verb("count", 2, 3, 0, 1, 0)}, []mailtest.Delivery{reached(0, 9, 9.2)}, nil, false},
		{"counted too few", []Verb{verb("count", 2, 3, 0, 0, 0)}, []mailtest.Delivery{reached(0, 9, 9.2)}, nil, true},
		{"counted too many", []Verb{verb("count", 2, 3, 0, 2, 0)}, []mailtest.Delivery{reached(0, 9, 9.2)}, nil, true},
		{"not listed", []Verb{verb("list", 2, 3, 0, 0, 0)}, []mailtest.Delivery{reached(0, 9, 9.2)}, nil, true},
		{"listed after its removal", []Verb{verb("remove", 2, 3, 0, 1, 0), listed}, nil, nil, true},
		{"suspended and resumed", []Verb{verb("suspend", 2, 3, 0, 0, 0), verb("resume", 8, 9, 0, 0, 0)}, []mailtest.Delivery{reached(0, 8.1, 8.3)}, nil, false},
		{"begun while suspended", []Verb{verb("suspend", 2, 3, 0, 0, 0), verb("resume", 8, 9, 0, 0, 0)}, []mailtest.Delivery{reached(0, 5, 5.3)}, nil, true},
		{"under way when it was suspended", []Verb{verb("suspend", 2, 3, 0, 0, 0)}, []mailtest.Delivery{reached(0, 2.9, 5.3)}, nil, false},
		{"not to be suspended", []Verb{verb("suspend", 2, 3, 65, 0, 0)}, []mailtest.Delivery{reached(0, 2.9, 5.3)}, nil, true},
	} {
		v := Check(&History{Tries: []Try{charged(0)}, Deliveries: c.came, Faults: c.fault, Verbs: c.verbs}, Rules{})
		if v.Untrue.N > 0 != c.bad || v.Lost.N > 0 || v.Reports > 0 || v.OK() == c.bad {
			t.Errorf("%s:\n%v", c.name, v)
		}
		if c.bad && !strings.Contains(v.String(), "untrue: ") {
			t.Errorf("%s: the verdict does not say it:\n%v", c.name, v)
		}
	}
}
