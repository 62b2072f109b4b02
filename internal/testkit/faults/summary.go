package faults

import (
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

// noteEnd notes that a node has ended by itself. Words that do not say what to do are noted, too.
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
	"cluster replace", "queue salvage", "put back", "put them back", "join", "remove", "room",
	"again",
}

// stopsListed are those of the machine's stops that a summary lists.
const stopsListed = 200

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
	longest, when := time.Duration(0), []string(nil)
	for i, s := range d.mu.stops {
		longest = max(longest, s.Until.Sub(s.From))
		if i < stopsListed {
			when = append(when, fmt.Sprintf("%s %.2f", s.From.Format("15:04:05.00"),
				s.Until.Sub(s.From).Seconds()))
		}
	}
	fmt.Fprintf(&b, "the machine stood still %d times for %v or longer, %.2f s at most: %s\n",
		len(d.mu.stops), stillSeen, longest.Seconds(), strings.Join(when, ", "))
	fmt.Fprintf(
		&b,
		"messages %d, recipients %d: lost %d, named and not back %d, changed %d, waiting %d\n",
		v.Messages,
		v.Acknowledged,
		v.Lost.N,
		v.Named,
		v.Changed.N,
		v.Waiting,
	)
	fmt.Fprintf(
		&b,
		"further copies: excused %d, of which not logged %d, forgotten %d; salvaged %d; "+
			"unexcused %d\n",
		v.Duplicates,
		v.Unlogged.N,
		v.Forgotten,
		v.Salvaged,
		v.Unexcused.N,
	)
	fmt.Fprintf(&b, "verbs %d: untrue %d, not so because of what was forgotten %d\n",
		v.Verbs, v.Untrue.N, v.OfForgotten)
	return b.String()
}
