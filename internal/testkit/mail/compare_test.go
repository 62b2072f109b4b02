package mail

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// world is a small history that is as it should be: three messages, the second to two recipients,
// the third with its reply lost.
func world() ([]Sent, []Delivery) {
	var sent []Sent
	var got []Delivery
	at := time.Unix(1000, 0)
	for i, rcpts := range [][]string{{"a@x.example"}, {"b@x.example", "c@Y.example"},
		{"d@x.example"}} {
		s := Sent{ID: fmt.Sprint("m", i), Sum: Sum{byte(i)}, QueueID: fmt.Sprint("Q", i)}
		if i == 2 {
			s.Unknown = rcpts
		} else {
			s.Accepted = rcpts
		}
		sent = append(sent, s)
		for _, r := range rcpts {
			got = append(got, Delivery{
				ID: s.ID, Sum: s.Sum, Sender: "s@x.example",
				Recipients: []string{strings.ToLower(r)},
				Connected:  at, Started: at, Accepted: at.Add(time.Second),
			})
			at = at.Add(10 * time.Second)
		}
	}
	return sent, got
}

func TestCompare(t *testing.T) {
	kill := func(at time.Time) Rules { return Rules{Kills: []time.Time{at}} }
	again := func(got []Delivery) []Delivery {
		d := got[0]
		d.Connected, d.Accepted = d.Connected.Add(time.Hour), d.Accepted.Add(time.Hour)
		return append(got, d)
	}
	for _, tc := range []struct {
		name   string
		change func(sent []Sent, got []Delivery) ([]Sent, []Delivery)
		rules  Rules
		want   string // lost changed duplicated excused unexpected uncertain foreign
	}{
		{"all well", nil, Rules{}, "0 0 0 0 0 1 0"},
		{"one lost", func(s []Sent, g []Delivery) ([]Sent, []Delivery) { return s, g[1:] }, Rules{},
			"1 0 0 0 0 1 0"},
		{"one recipient of two lost", func(s []Sent, g []Delivery) ([]Sent, []Delivery) {
			return s,
				append(g[:2:2], g[3:]...)
		}, Rules{}, "1 0 0 0 0 1 0"},
		{"all lost", func(s []Sent, g []Delivery) ([]Sent, []Delivery) { return s, nil }, Rules{},
			"3 0 0 0 0 0 0"},
		{"uncertain and not delivered", func(s []Sent, g []Delivery) ([]Sent, []Delivery) {
			return s, g[:3]
		}, Rules{}, "0 0 0 0 0 0 0"},
		{"one octet changed", func(s []Sent, g []Delivery) ([]Sent, []Delivery) {
			g[1].Sum[7]++
			return s, g
		}, Rules{}, "0 1 0 0 0 1 0"},
		{"an uncertain one changed", func(s []Sent, g []Delivery) ([]Sent, []Delivery) {
			g[3].Sum[7]++
			return s, g
		}, Rules{}, "0 1 0 0 0 1 0"},
		{"two swapped", func(s []Sent, g []Delivery) ([]Sent, []Delivery) {
			g[0].Recipients, g[1].Recipients = g[1].Recipients, g[0].Recipients
			return s, g
		}, Rules{}, "2 0 0 0 2 1 0"},
		{"duplicate", func(s []Sent, g []Delivery) ([]Sent, []Delivery) { return s, again(g) },
			Rules{}, "0 0 1 0 0 1 0"},
		{"duplicate, killed in time", func(s []Sent, g []Delivery) ([]Sent, []Delivery) {
			return s,
				again(g)
		}, kill(time.Unix(1002, 0)), "0 0 0 1 0 1 0"},
		{"duplicate, killed in the transaction", func(s []Sent, g []Delivery) ([]Sent, []Delivery) {
			return s, again(g)
		}, kill(time.Unix(1000, 1)), "0 0 0 1 0 1 0"},
		{"duplicate, killed too late", func(s []Sent, g []Delivery) ([]Sent, []Delivery) {
			return s,
				again(g)
		}, kill(time.Unix(1004, 0)), "0 0 1 0 0 1 0"},
		{"duplicate, killed before", func(s []Sent, g []Delivery) ([]Sent, []Delivery) {
			return s,
				again(g)
		}, kill(time.Unix(999, 0)), "0 0 1 0 0 1 0"},
		{"three copies, one kill", func(s []Sent, g []Delivery) ([]Sent, []Delivery) {
			return s,
				again(again(g))
		}, kill(time.Unix(1002, 0)), "0 0 1 0 0 1 0"},
		{"somebody else's mail", func(s []Sent, g []Delivery) ([]Sent, []Delivery) {
			return s, append(g,
				Delivery{ID: "m9", Sender: "s", Recipients: []string{"z@x.example"}})
		}, Rules{}, "0 0 0 0 1 1 0"},
		{"refused and delivered", func(s []Sent, g []Delivery) ([]Sent, []Delivery) {
			s[0].Accepted = nil
			return s, g
		}, Rules{}, "0 0 0 0 1 1 0"},
		{"a report", func(s []Sent, g []Delivery) ([]Sent, []Delivery) {
			return s, append(g, Delivery{ID: "m0", Recipients: []string{"s@x.example"}})
		}, Rules{}, "0 0 0 0 0 1 1"},
	} {
		sent, got := world()
		if tc.change != nil {
			sent, got = tc.change(sent, got)
		}
		r := Compare(sent, got, tc.rules)
		have := fmt.Sprint(r.Lost.N, r.Changed.N, r.Duplicated.N, r.Excused.N, r.Unexpected.N,
			r.Arrived, r.Foreign)
		if have != tc.want {
			t.Errorf("%s: %s, want %s\n%v", tc.name, have, tc.want, r)
		}
		bad := r.Lost.N+r.Changed.N+r.Duplicated.N+r.Unexpected.N > 0
		if r.OK() == bad {
			t.Errorf("%s: OK() is %v", tc.name, r.OK())
		}
	}
}
