package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/hashicorp/raft"
)

// Raft knows of an entry that it has compacted only its index. So whether the past that a leader
// stands for is the past that this member has cannot be told from the logs when the leader sends
// its state, or when two leaders had one term. So each member keeps a table: with which entry each
// term began in its log, and by which reign (reign.go).

// Terms is what a member tells of its log.
type Terms struct {
	From   uint64      // it tells of entries from this one on
	Starts []TermStart // in ascending order
	// Of who answers, now:
	Last  uint64 `json:",omitempty"` // of its log
	Term  uint64 `json:",omitempty"`
	Leads bool   `json:",omitempty"` // it is the leader of that term
}

// TermStart is the first entry of a term; Process 0: by whose reign is not known.
type TermStart struct{ Term, First, Process uint64 }

const (
	termsKey  = "terms" // the table, as JSON
	termsMost = 64      // terms in it; older ones are forgotten
)

// with is the table after entries were stored; nil: it is as it was. What they replace is left out.
func (t *Terms) with(logs []*raft.Log, reignOf func(uint64) *reign) *Terms {
	next := &Terms{From: logs[0].Index}
	changed := t == nil
	if t != nil {
		next.From, next.Starts = t.From, t.before(logs[0].Index)
		changed = len(next.Starts) < len(t.Starts)
	}
	for _, l := range logs {
		if n := len(next.Starts); n > 0 && next.Starts[n-1].Term == l.Term {
			continue
		}
		s := TermStart{Term: l.Term, First: l.Index}
		if r := reignOf(l.Term); r != nil {
			s.Process = r.process
		}
		next.Starts, changed = append(slices.Clip(next.Starts), s), true
	}
	if !changed {
		return nil
	}
	if over := len(next.Starts) - termsMost; over > 0 {
		next.Starts = next.Starts[over:]
		next.From = next.Starts[0].First
	}
	return next
}

// before are the terms that began before an entry.
func (t *Terms) before(index uint64) []TermStart {
	n := len(t.Starts)
	for n > 0 && t.Starts[n-1].First >= index {
		n--
	}
	return t.Starts[:n]
}

// at is the term of an entry, and up to which entry it lasts; false: the table does not tell.
func (t *Terms) at(index uint64) (s TermStart, to uint64, ok bool) {
	n := len(t.before(index + 1))
	to = t.Last
	if n < len(t.Starts) {
		to = t.Starts[n].First - 1
	}
	if n == 0 || index < t.From {
		return s, to, false
	}
	return t.Starts[n-1], to, true
}

// ofTerm is where a term began; false: the table does not tell.
func (t *Terms) ofTerm(term uint64) (TermStart, bool) {
	i, ok := slices.BinarySearchFunc(
		t.Starts,
		term,
		func(s TermStart, term uint64) int { return cmp.Compare(s.Term, term) },
	)
	if !ok {
		return TermStart{}, false
	}
	return t.Starts[i], true
}

// learned is the table with reigns that only another one knows, whose log has the same terms in the
// same places; nil: it is as it was.
func (t *Terms) learned(o *Terms) *Terms {
	next := *t
	next.Starts = slices.Clone(t.Starts)
	changed := false
	for i := range next.Starts {
		s := &next.Starts[i]
		theirs, ok := o.ofTerm(s.Term)
		if s.Process == 0 && ok && theirs.Process != 0 && theirs.First == s.First {
			s.Process, changed = theirs.Process, true
		}
	}
	if !changed {
		return nil
	}
	return &next
}

// unsureBefore is the first entry of those before another one of which the tables cannot tell
// whether they are the same: one of them does not know by whose reign they are.
func (t *Terms) unsureBefore(o *Terms, index uint64) uint64 {
	for index > 1 {
		a, _, ok := t.at(index - 1)
		b, _, ok2 := o.at(index - 1)
		if !ok || !ok2 || (a.Process == 0) == (b.Process == 0) {
			break
		}
		index = max(a.First, b.First)
	}
	return index
}

// diverges is the first entry that is another one in the two logs, 0 when none is known to be.
func (t *Terms) diverges(o *Terms) uint64 {
	return t.first(o, func(a, b TermStart) bool { return a.Term != b.Term || a.rivals(b) })
}

// forks is the first entry that is another one in the two logs and that raft takes for the same, 0
// when none is known to be.
func (t *Terms) forks(o *Terms) uint64 { return t.first(o, TermStart.rivals) }

// rivals reports whether two leaders had one term.
func (s TermStart) rivals(o TermStart) bool {
	return s.Term == o.Term && s.Process != 0 && o.Process != 0 && s.Process != o.Process
}

// first is the first entry of whose terms in the two logs something is so; 0: of none.
func (t *Terms) first(o *Terms, is func(a, b TermStart) bool) uint64 {
	for i := max(t.From, o.From, 1); i <= min(t.Last, o.Last); {
		a, end, ok := t.at(i)
		b, end2, ok2 := o.at(i)
		if ok && ok2 && is(a, b) {
			return i
		}
		i = max(i, min(end, end2)) + 1
	}
	return 0
}

// loadTerms reads the table. What a crash left of entries that are no more is not in it.
func (g *Group) loadTerms() error {
	v, err := g.log.Get([]byte(termsKey))
	g.terms.Store(nil)
	if err != nil || len(v) == 0 {
		return err
	}
	t := new(Terms)
	if err := json.Unmarshal(v, t); err != nil {
		return fmt.Errorf("terms of group %d: %w", g.id, err)
	}
	t.Starts = t.before(g.position().index + 1)
	g.terms.Store(t)
	return nil
}

// Terms is the table of this member's log.
func (g *Group) Terms() Terms {
	t := Terms{From: g.position().index + 1}
	if has := g.terms.Load(); has != nil {
		t = *has
	}
	t.Last, t.Term = g.position().index, g.currentTerm()
	if g.running.Load() {
		t.Leads = g.raft.State() == raft.Leader
	}
	return t
}

func (n *Node) serveTerms(w http.ResponseWriter, r *http.Request) {
	if g := n.asked(w, r); g != nil {
		_ = json.NewEncoder(w).Encode(g.Terms()) // who asks sees that it was cut off
	}
}

// AskTerms asks a member for the table of its log; nil: its program has none.
func (g *Group) AskTerms(ctx context.Context, member uint16) (*Terms, error) {
	ctx, cancel := context.WithTimeout(ctx, inquireTimeout)
	defer cancel()
	t := new(Terms)
	err := g.node.Call(
		ctx,
		member,
		http.MethodGet,
		fmt.Sprintf("/cluster/terms?group=%d", g.id),
		nil,
		func(r io.Reader) error {
			return json.NewDecoder(io.LimitReader(r, 64<<10)).Decode(t)
		},
	)
	var answer *Answer
	if errors.As(err, &answer) && answer.Status == http.StatusNotFound {
		return nil, nil
	}
	return t, err
}

// LeadersTerms asks members, each once, for the table of the one that leads the group, in the
// newest term. nil: none of them leads it; unheard is why some did not answer.
func (g *Group) LeadersTerms(ctx context.Context, members []uint16) (t *Terms, unheard error) {
	for _, member := range members {
		answer, err := g.AskTerms(ctx, member)
		if err == nil && answer != nil && answer.Leads && (t == nil || answer.Term > t.Term) {
			t = answer
		}
		unheard = errors.Join(unheard, err)
	}
	return t, unheard
}

// compare looks whether a leader has all that this member knows to be committed, and stops this
// member when it has something else. nil: the leader cannot tell. A leader of this member's term,
// or of a later one, has all that this member could know.
func (g *Group) compare(ctx context.Context, leader uint16) (*Terms, error) {
	theirs, err := g.AskTerms(ctx, leader)
	if theirs == nil || err != nil {
		return nil, err
	}
	if !theirs.Leads || theirs.Term < g.currentTerm() {
		return nil, fmt.Errorf("member %d does not lead group %d now", leader, g.id)
	}
	if e := g.lackedBy(theirs); e != nil {
		g.stopTakenBack(e.From)
	}
	return theirs, g.learnTerms(theirs)
}

// learnTerms notes what the table of a leader, which has the same past, tells of older reigns: of
// entries that this member gets or got from a leader that came later than they.
func (g *Group) learnTerms(leader *Terms) error {
	g.tabling.Lock()
	defer g.tabling.Unlock()
	g.leaders.Store(leader)
	ours := g.terms.Load()
	if ours == nil {
		return nil
	}
	next := ours.learned(leader)
	if next == nil {
		return nil
	}
	b, err := json.Marshal(next)
	if err == nil {
		err = g.log.Set([]byte(termsKey), b)
	}
	if err != nil {
		return fmt.Errorf("note the reigns of group %d: %w", g.id, err)
	}
	g.terms.Store(next)
	return nil
}

// takeTerms makes the table of the leader whose state was taken over that of this member, up to the
// marker.
func (g *Group) takeTerms(index uint64) ([]byte, error) {
	next := &Terms{From: index + 1}
	if t := g.fetched.Load(); t != nil {
		next.From, next.Starts = min(t.From, index+1), t.before(index+1)
	}
	g.terms.Store(next)
	return json.Marshal(next)
}
