package faults

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// count notes that a step is carried out.
func (d *Driver) count(k Kind) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.steps == nil {
		d.mu.steps = map[Kind]int{}
	}
	d.mu.steps[k]++
}

// noteEnd notes that a node has ended by itself. Words that do not say what to do are noted as such.
func (d *Driver) noteEnd(status int, words string) {
	what := fmt.Sprintf("with %d", status)
	said := func(a string) bool { return strings.Contains(words, a) }
	if !slices.ContainsFunc(advice, said) {
		what += ", without a word of what to do"
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.ends == nil {
		d.mu.ends = map[string]int{}
	}
	d.mu.ends[what]++
}

// advice is what a node's last words have one of.
var advice = []string{
	"cluster replace", "queue salvage", "put back", "put them back", "join", "remove", "room", "again",
}

// Summary tells in a few lines what a run was made of and what became of it.
func (d *Driver) Summary(v *Verdict) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var b strings.Builder
	total := 0
	for _, n := range d.mu.steps {
		total += n
	}
	fmt.Fprintf(&b, "faults: %d:", total)
	for _, k := range slices.Sorted(maps.Keys(d.mu.steps)) {
		fmt.Fprintf(&b, " %v %d", k, d.mu.steps[k])
	}
	b.WriteString("\n")
	if len(d.mu.ends) > 0 {
		var ends []string
		for _, what := range slices.Sorted(maps.Keys(d.mu.ends)) {
			ends = append(ends, fmt.Sprintf("%d %s", d.mu.ends[what], what))
		}
		fmt.Fprintf(&b, "nodes that ended by themselves: %s\n", strings.Join(ends, "; "))
	}
	longest := time.Duration(0)
	for _, s := range d.mu.stops {
		longest = max(longest, s.Until.Sub(s.From))
	}
	fmt.Fprintf(&b, "the machine stood still %d times for %v or longer, %.2f s at most\n",
		len(d.mu.stops), stillSeen, longest.Seconds())
	fmt.Fprintf(&b, "messages %d, recipients %d: lost %d, named and not back %d, changed %d, waiting %d\n",
		v.Messages, v.Acknowledged, v.Lost.N, v.Named, v.Changed.N, v.Waiting)
	fmt.Fprintf(&b, "further copies: excused %d, of which not logged %d, forgotten %d; unexcused %d\n",
		v.Duplicates, v.Unlogged.N, v.Forgotten, v.Unexcused.N)
	return b.String()
}

// Elections are the terms of ownership that nodes began without a cause that is known: no fault,
// and no stop of the machine, within so long before. What nodes log has whole seconds.
func Elections(begun []Term, faults []Fault, stops []Stop, within time.Duration) (without []Term) {
	caused := func(at, from, until time.Time) bool {
		return !at.Before(from.Add(-time.Second)) && !at.After(until.Add(within+time.Second))
	}
	for _, t := range begun {
		known := slices.ContainsFunc(faults, func(f Fault) bool {
			return caused(t.At, f.From, laterOf(f.From, f.Until))
		}) || slices.ContainsFunc(stops, func(s Stop) bool {
			return caused(t.At, s.From, s.Until)
		})
		if !known {
			without = append(without, t)
		}
	}
	return without
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Term is a term of a node as owner of a group, by its log.
type Term struct {
	Node  int
	Group int
	At    time.Time
}

func (t Term) String() string {
	return fmt.Sprintf("group %d at n%d at %s", t.Group, t.Node, t.At.Format("15:04:05"))
}

// sortTerms puts terms into the order of time.
func sortTerms(terms []Term) {
	slices.SortFunc(terms, func(a, b Term) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Group, b.Group))
	})
}
