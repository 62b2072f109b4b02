package faults

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/bench/record"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// charged is message n of the operators, accepted at 1 s.
func charged(n int) Try {
	id := fmt.Sprintf("v%d", n)
	return Try{
		Node: 1,
		Sent: mailtest.Sent{
			ID:       id,
			Sum:      record.SumOf([]byte(id)),
			QueueID:  "Q" + id,
			Accepted: []string{id + "@" + HandledDomain},
			At:       at(1),
		},
	}
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
	v := Verb{
		Verb:     name,
		ID:       "Qv0",
		Node:     2,
		From:     at(from),
		Until:    at(until),
		Exit:     exit,
		Done:     done,
		InFlight: flying,
	}
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
		{"held and released", []Verb{verb("hold", 2, 3, 0, 1, 0), verb("release", 8, 9, 0, 1, 0)},
			[]mailtest.Delivery{reached(0, 8.5, 9)}, nil, false},
		{"delivered while held",
			[]Verb{verb("hold", 2, 3, 0, 1, 0), verb("release", 8, 9, 0, 1, 0)},
			[]mailtest.Delivery{reached(0, 5, 5.1)}, nil, true},
		{"under way at its hold, and not told", []Verb{verb("hold", 2, 3, 0, 1, 0)},
			[]mailtest.Delivery{reached(0, 1.5, 3.2)}, nil, true},
		{"under way at its hold, and told", []Verb{verb("hold", 2, 3, 0, 0, 1)},
			[]mailtest.Delivery{reached(0, 1.5, 3.2)}, nil, false},
		{"tried again though held", []Verb{verb("hold", 2, 3, 0, 0, 1)},
			[]mailtest.Delivery{reached(0, 7, 7.2)}, nil, true},
		{"a hold without a promise", []Verb{verb("hold", 2, 3, 75, 0, 0)},
			[]mailtest.Delivery{reached(0, 7, 7.2)}, nil, false},
		{"nothing to hold", []Verb{verb("hold", 2, 3, 0, 0, 0)},
			[]mailtest.Delivery{reached(0, 7, 7.2)}, nil, true},
		{"nothing to hold any more", []Verb{verb("hold", 2, 3, 0, 0, 0)},
			[]mailtest.Delivery{reached(0, 1, 1.2)}, nil, false},
		{"held twice", []Verb{verb("hold", 2, 3, 75, 0, 0), verb("hold", 4, 5, 0, 0, 0),
			verb("release", 6, 7, 0, 1, 0)}, []mailtest.Delivery{reached(0, 7, 7.2)}, nil, false},
		{"nothing to release", []Verb{verb("hold", 2, 3, 0, 1, 0), verb("release", 6, 7, 0, 0, 0),
			verb("release", 8, 9, 0, 1, 0)}, []mailtest.Delivery{reached(0, 9, 9.2)}, nil, true},
		{"removed", []Verb{verb("remove", 2, 3, 0, 1, 0)}, nil, nil, false},
		{"delivered after its removal", []Verb{verb("remove", 2, 3, 0, 1, 0)},
			[]mailtest.Delivery{reached(0, 19, 20)}, nil, true},
		{"removed under way, and told", []Verb{verb("remove", 2, 3, 0, 0, 1)},
			[]mailtest.Delivery{reached(0, 1.9, 3.4)}, nil, false},
		{"its end was on its way from a node that died", []Verb{verb("remove", 11, 12, 0, 1, 0)},
			[]mailtest.Delivery{reached(0, 9.5, 11.5)}, kill(), false},
		{"begun by a node that had died", []Verb{verb("remove", 11, 12, 0, 1, 0)},
			[]mailtest.Delivery{reached(0, 12.6, 12.8)}, kill(), true},
		{"perhaps removed", []Verb{verb("remove", 2, 3, 75, 0, 0)}, nil, nil, false},
		{"nothing to remove", []Verb{verb("remove", 2, 3, 0, 0, 0)},
			[]mailtest.Delivery{reached(0, 9, 9.2)}, nil, true},
		{"failed", []Verb{verb("fail", 2, 3, 0, 1, 0)}, []mailtest.Delivery{reportOn(0)}, nil,
			false},
		{"failed without a word", []Verb{verb("fail", 2, 3, 0, 1, 0)}, nil, nil, true},
		{"not shown", []Verb{verb("show", 2, 3, 65, 0, 0)}, []mailtest.Delivery{reached(0, 9, 9.2)},
			nil, true},
		{"not traced", []Verb{verb("trace", 2, 3, 0, 0, 0)},
			[]mailtest.Delivery{reached(0, 9, 9.2)}, nil, true},
		{"traced", []Verb{verb("trace", 2, 3, 0, 1, 0)}, []mailtest.Delivery{reached(0, 9, 9.2)},
			nil, false},
		{"counted", []Verb{verb("count", 2, 3, 0, 1, 0)}, []mailtest.Delivery{reached(0, 9, 9.2)},
			nil, false},
		{"counted too few", []Verb{verb("count", 2, 3, 0, 0, 0)},
			[]mailtest.Delivery{reached(0, 9, 9.2)}, nil, true},
		{"counted too many", []Verb{verb("count", 2, 3, 0, 2, 0)},
			[]mailtest.Delivery{reached(0, 9, 9.2)}, nil, true},
		{"not listed", []Verb{verb("list", 2, 3, 0, 0, 0)}, []mailtest.Delivery{reached(0, 9, 9.2)},
			nil, true},
		{"listed after its removal", []Verb{verb("remove", 2, 3, 0, 1, 0), listed}, nil, nil, true},
		{"suspended and resumed",
			[]Verb{verb("suspend", 2, 3, 0, 0, 0), verb("resume", 8, 9, 0, 0, 0)},
			[]mailtest.Delivery{reached(0, 8.1, 8.3)}, nil, false},
		{"begun while suspended",
			[]Verb{verb("suspend", 2, 3, 0, 0, 0), verb("resume", 8, 9, 0, 0, 0)},
			[]mailtest.Delivery{reached(0, 5, 5.3)}, nil, true},
		{"under way when it was suspended", []Verb{verb("suspend", 2, 3, 0, 0, 0)},
			[]mailtest.Delivery{reached(0, 2.9, 5.3)}, nil, false},
		{"not to be suspended", []Verb{verb("suspend", 2, 3, 65, 0, 0)},
			[]mailtest.Delivery{reached(0, 2.9, 5.3)}, nil, true},
	} {
		v := Check(
			&History{Tries: []Try{charged(0)}, Deliveries: c.came, Faults: c.fault, Verbs: c.verbs},
			Rules{},
		)
		if v.Untrue.N > 0 != c.bad || v.Lost.N > 0 || v.Reports > 0 || v.OK() == c.bad {
			t.Errorf("%s:\n%v", c.name, v)
		}
		if c.bad && !strings.Contains(v.String(), "untrue: ") {
			t.Errorf("%s: the verdict does not say it:\n%v", c.name, v)
		}
	}
}

// TestVerdictsOnWhatWasForgotten: from 10 s on a majority has forgotten what was done since 4 s.
// TestVerdictsOnWhatWasForgotten: operators' answers about such a message are counted apart; all
// else is judged as ever.
func TestVerdictsOnWhatWasForgotten(t *testing.T) {
	const early, late = 0.5, 5 // when the message was accepted: before, and when it was forgotten
	listed := verb("list", 14, 15, 0, 1, 0)
	listed.Listed = []string{"Qv0"}
	count := func(n int64) Verb { return verb("count", 14, 15, 0, n, 0) }
	nothing := func(name string) Verb { return verb(name, 14, 15, 0, 0, 0) }
	none := []mailtest.Delivery(nil)
	later := []mailtest.Delivery{reached(0, 19, 19.1)}
	for _, c := range []struct {
		name     string
		accepted float64
		named    bool
		verbs    []Verb
		came     []mailtest.Delivery
		apart    int
		untrue   int
		lost     int
	}{
		{"not counted, lost", late, false, []Verb{count(0)}, none, 1, 0, 1},
		{"not counted, named", late, true, []Verb{count(0)}, none, 1, 0, 0},
		{"not counted, named and put in again", late, true, []Verb{count(0)}, later, 1, 0, 0},
		{"counted", late, true, []Verb{count(1)}, none, 0, 0, 0},
		{"counted too many", late, true, []Verb{count(2)}, none, 0, 1, 0},
		{"not counted, came without having been named", late, false, []Verb{count(0)}, later, 0, 1,
			0},
		{"not counted, accepted before, and lost", early, false, []Verb{count(0)}, none, 0, 1, 1},
		{"not counted before it was forgotten", late, true, []Verb{verb("count", 8, 9, 0, 0, 0)},
			later, 0, 1, 0},
		{"not listed", late, true, []Verb{nothing("list")}, none, 1, 0, 0},
		{"not shown", late, true, []Verb{verb("show", 14, 15, 65, 0, 0)}, none, 1, 0, 0},
		{"not traced", late, false, []Verb{nothing("trace")}, none, 1, 0, 1},
		{"not held", late, true, []Verb{nothing("hold")}, later, 1, 0, 0},
		{"not removed", late, true, []Verb{nothing("remove")}, later, 1, 0, 0},
		{"not held, though it was found to be removed", late, false,
			[]Verb{nothing("hold"), verb("remove", 16, 17, 0, 1, 0)}, none, 0, 1, 0},
		{"a hold was forgotten", early, false,
			[]Verb{verb("hold", 6, 7, 0, 1, 0), nothing("release")}, later, 1, 0, 0},
		{"delivered, for a hold was forgotten", early, false, []Verb{verb("hold", 6, 7, 0, 1, 0)},
			later, 1, 0, 0},
		{"delivered in spite of a hold that was not forgotten", early, false,
			[]Verb{verb("hold", 1, 1.5, 0, 1, 0)}, later, 0, 1, 0},
		{"delivered in spite of a hold before anything was forgotten", early, false,
			[]Verb{verb("hold", 6, 7, 0, 1, 0)}, []mailtest.Delivery{reached(0, 8, 8.1)}, 0, 1, 0},
		{"delivered in spite of a later hold", early, false, []Verb{verb("hold", 14, 15, 0, 1, 0)},
			later, 0, 1, 0},
		{"a release was forgotten", early, false,
			[]Verb{verb("hold", 1, 1.5, 0, 1, 0), verb("release", 6, 7, 0, 1, 0), nothing("hold"),
				verb("release", 16, 17, 0, 1, 0)}, later, 0, 0, 0},
		{"delivered, for a removal was forgotten", early, false,
			[]Verb{verb("remove", 6, 7, 0, 1, 0)}, later, 1, 0, 0},
		{"listed, for a removal was forgotten", early, false,
			[]Verb{verb("remove", 6, 7, 0, 1, 0), listed}, none, 1, 0, 0},
		{"a failure was forgotten", early, false, []Verb{verb("fail", 6, 7, 0, 1, 0)}, later, 2, 0,
			0},
		{"a failure without a word", early, false, []Verb{verb("fail", 14, 15, 0, 1, 0)}, none, 0,
			1, 0},
		{"a suspension was forgotten", early, false, []Verb{verb("suspend", 6, 7, 0, 0, 0)}, later,
			1, 0, 0},
		{"a later suspension", early, false, []Verb{verb("suspend", 14, 15, 0, 0, 0)}, later, 0, 1,
			0},
	} {
		try := charged(0)
		try.At = at(c.accepted)
		h := &History{Tries: []Try{try}, Deliveries: c.came, Verbs: c.verbs,
			Faults: []Fault{
				{Kind: Rollback, From: at(10), Until: at(11), Forgot: at(4), Lost: []int{1}},
			}}
		if c.named {
			h.Named = map[string]bool{"Qv0": true}
		}
		v := Check(h, Rules{Window: time.Second, Grace: time.Second, Lease: time.Second})
		if v.OfForgotten != c.apart || v.Untrue.N != c.untrue || v.Lost.N != c.lost {
			t.Errorf(
				"%s: %d apart, %d untrue, %d lost, want %d, %d, %d\n%v",
				c.name,
				v.OfForgotten,
				v.Untrue.N,
				v.Lost.N,
				c.apart,
				c.untrue,
				c.lost,
				v,
			)
		}
	}
}
