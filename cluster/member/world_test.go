package member

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/internal/rows"
	rowstest "github.com/postroad/postroad/internal/testkit/rows"
	"github.com/postroad/postroad/internal/version"
)

// home is the group of mx1's own mail.
const home = cluster.HomeGroup

// world is a cluster without raft and without a network, as mx1's Reconciler sees it, and what has
// happened. It is in a bubble of testing/synctest.
type world struct {
	*testing.T
	*Reconciler
	state  *control.State
	others *control.Editor // what other members change
	book   *AddressBook
	o      ReconcilerOptions
	lo     LocatorOptions

	mu      sync.Mutex
	groups  map[uint64]*fakeGroup
	running []uint64
	held    []uint64 // groups of which there is something here that does not run
	accepts map[uint64]bool
	done    []string
	lines   []string
	fatal   []error
	evicted int
	refuse  error                               // what proposals of this node fail with
	joins   error                               // what taking part in a group fails with
	helloes map[uint16]int                      // by whom they were heard
	answer  error                               // to a hello
	answers map[string]wire.Identity            // who answers at an address
	next    func(control.Group) (string, error) // of the parts
}

// fakeGroup is this node's member of a group.
type fakeGroup struct {
	w      *world
	id     uint64
	term   uint64
	leader uint16
	fresh  bool
	ended  bool
	conf   cluster.Members
	behind map[uint16]bool
	fails  error         // what changes of members fail with
	slow   time.Duration // how long a change takes, and a look at who has caught up
}

// play runs a test with mx1, which leads the control group of a cluster of one.
func play(t *testing.T, run func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			T: t, state: control.New(), groups: map[uint64]*fakeGroup{}, accepts: map[uint64]bool{},
			helloes: map[uint16]int{}, answers: map[string]wire.Identity{},
		}
		store := rowstest.New(w.state)
		w.others = &control.Editor{State: w.state, Proposer: store, Now: time.Now}
		own := &control.Editor{State: w.state, Now: time.Now, Proposer: rows.ProposerFunc(
			func(ctx context.Context, data []byte, parts [][]byte) (any, error) {
				w.mu.Lock()
				err := w.refuse
				w.mu.Unlock()
				if err != nil {
					return nil, err
				}
				return store.Propose(ctx, data, parts)
			})}
		var err error
		w.book, err = OpenAddresses(t.TempDir())
		w.ok(err)
		w.ok(w.others.Init(t.Context(), "c1", []byte("cert"), []byte("key"), nodeNamed("mx1", 1)))
		g := w.groupOf(cluster.ControlGroup)
		g.term, g.leader, g.fresh, g.conf = 1, 1, true,
			cluster.Members{Voters: []uint16{1}, Index: 1}
		w.lo = LocatorOptions{
			Self: mx1, Advertise: "mx1:7025", State: w.state, Changes: own, Book: w.book,
			Ask: w.ask, Who: w.who,
			Fresh: g.Fresh, Listens: func() bool { return true }, Errorf: w.logf,
		}
		w.o = ReconcilerOptions{
			Self: mx1, State: w.state, Changes: own, Replicas: 3, Parts: fakeParts{w},
			Group: func(id uint64) Group { return w.groupOf(id) }, GroupIDs: w.groupIDs,
			Reachable: func(uint16) bool { return true }, Recheck: func() {},
			Named: func() error { return nil },
			Notes: NewNoteKeeper(NoteKeeperOptions{
				Notes: notesIn(t), Self: mx1, State: w.state, Errorf: w.logf,
				Applied: func() uint64 { return 1 },
			}),
			Evicted:   func(error) { w.locked(func() { w.evicted++ }) },
			IsEvicted: func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.evicted > 0 },
			Fail:      func(err error) { w.locked(func() { w.fatal = append(w.fatal, err) }) },
			Logf:      w.logf, Errorf: w.logf,
		}
		w.o.Lost = w.o.Fail
		run(w)
	})
}

func nodeNamed(name string, incarnation uint64) control.Node {
	return control.Node{
		Name: name, Address: name + ":7025", Incarnation: incarnation,
		Version: version.Version, Protocol: control.Protocol,
	}
}

// start runs the Reconciler to the end of the test.
func (w *world) start() {
	w.o.Locator = NewLocator(w.lo)
	w.Reconciler = NewReconciler(w.o)
	go w.Reconciler.Run(w.Context())
	after(RoundEvery)
}

func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// member adds another member, which runs.
func (w *world) member(name string, id uint16) {
	w.Helper()
	m, err := w.others.AddMember(w.Context(), nodeNamed(name, uint64(id)))
	w.ok(err)
	if m.ID != id {
		w.Fatalf("%s is member %d", name, m.ID)
	}
	w.ok(w.others.Activate(w.Context(), id))
}

// plan plans as another member that leads the control group.
func (w *world) plan() {
	w.Helper()
	w.ok(w.others.Place(w.Context(), control.Plan(w.state, control.Policy{Replicas: 3})))
}

func (w *world) locked(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *world) happens(format string, args ...any) {
	w.locked(func() { w.done = append(w.done, fmt.Sprintf(format, args...)) })
}

func (w *world) logf(format string, args ...any) {
	w.locked(func() { w.lines = append(w.lines, fmt.Sprintf(format, args...)) })
}

// were returns what has happened since the last time, and what was logged.
func (w *world) were() (done, lines []string) {
	synctest.Wait()
	w.locked(func() { done, lines, w.done, w.lines = w.done, w.lines, nil, nil })
	return done, lines
}

// mustBe checks what has happened since the last time. Nothing was logged.
func (w *world) mustBe(want ...string) {
	w.Helper()
	done, lines := w.were()
	if !slices.Equal(done, want) || len(lines) > 0 {
		w.Errorf("%q happened, not %q; logged: %q", done, want, lines)
	}
}

// failed checks that the process was ended, by an error that says so, or that it was not.
func (w *world) failed(words string) {
	w.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	switch err := errors.Join(w.fatal...); {
	case words == "" && err != nil, words != "" &&
		(err == nil || !strings.Contains(err.Error(), words)):
		w.Errorf("the end: %v; want %q", err, words)
	}
}

func (w *world) groupOf(id uint64) *fakeGroup {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.groups[id] == nil {
		w.groups[id] = &fakeGroup{w: w, id: id, behind: map[uint16]bool{}}
	}
	return w.groups[id]
}

func (w *world) groupIDs() (ids []uint64) {
	w.locked(func() { ids = append(slices.Concat(w.running, w.held), cluster.ControlGroup) })
	return ids
}

// leads gives the leadership of a group to a member.
func (w *world) leads(id uint64, member uint16) {
	g := w.groupOf(id)
	w.locked(func() {
		g.leader, g.term = member, 0
		if member == 1 {
			g.term = 2
		}
	})
}

// lags says whether a member lacks entries of a group.
func (w *world) lags(id uint64, member uint16, behind bool) {
	g := w.groupOf(id)
	w.locked(func() { g.behind[member] = behind })
}

// fails makes the changes of a group's members fail; nil: they work.
func (w *world) fails(id uint64, err error) {
	g := w.groupOf(id)
	w.locked(func() { g.fails = err })
}

// knows says whether this node's control state is known to be new.
func (w *world) knows(fresh bool) {
	g := w.groupOf(cluster.ControlGroup)
	w.locked(func() { g.fresh = fresh })
}

func (w *world) ask(_ context.Context, member uint16, method, path string, body, _ any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if about, ok := body.(hello); !ok || method+" "+path != "POST /node/hello" ||
		about.Address != w.lo.Advertise {
		w.Errorf("member %d is asked %s %s: %v", member, method, path, body)
	}
	w.helloes[member]++
	return w.answer
}

func (w *world) who(_ context.Context, address string) (wire.Identity, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	id, ok := w.answers[address]
	if !ok {
		return id, errors.New("no answer")
	}
	return id, nil
}

func (g *fakeGroup) Leading() (term uint64) { g.w.locked(func() { term = g.term }); return term }
func (g *fakeGroup) Fresh() (fresh bool)    { g.w.locked(func() { fresh = g.fresh }); return fresh }
func (g *fakeGroup) Ended() (ended bool, _ error) {
	g.w.locked(func() { ended = g.ended })
	return ended, nil
}

func (g *fakeGroup) Leader() (uint16, bool) {
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	return g.leader, g.leader != 0
}

func (g *fakeGroup) Members() (m cluster.Members) {
	g.w.locked(func() {
		m = cluster.Members{
			Voters: slices.Clone(g.conf.Voters), Nonvoters: slices.Clone(g.conf.Nonvoters),
			Index: g.conf.Index,
		}
	})
	return m
}

func (g *fakeGroup) CaughtUp(member uint16) (up bool) {
	time.Sleep(g.slow)
	g.w.locked(func() { up = !g.behind[member] })
	return up
}

// change changes the members of a group that this node leads.
func (g *fakeGroup) change(what string, member uint16, voter, nonvoter bool) (err error) {
	g.w.happens("group %d: %s %d", g.id, what, member)
	time.Sleep(g.slow)
	g.w.locked(func() {
		if err = g.fails; err != nil {
			return
		}
		if g.term == 0 {
			err = errors.New("this node does not lead")
			return
		}
		set := func(ids []uint16, in bool) []uint16 {
			ids = slices.DeleteFunc(ids, func(id uint16) bool { return id == member })
			if in {
				ids = append(ids, member)
			}
			return ids
		}
		g.conf.Voters, g.conf.Nonvoters = set(g.conf.Voters, voter), set(g.conf.Nonvoters, nonvoter)
		g.conf.Index++
	})
	return err
}

func (g *fakeGroup) AddNonvoter(m uint16) error {
	return g.change("add non-voter", m, false, true)
}
func (g *fakeGroup) AddVoter(m uint16) error     { return g.change("add voter", m, true, false) }
func (g *fakeGroup) Demote(m uint16) error       { return g.change("demote", m, false, true) }
func (g *fakeGroup) RemoveMember(m uint16) error { return g.change("remove", m, false, false) }

func (g *fakeGroup) Transfer(_ context.Context, to uint16) error {
	g.w.happens("group %d: transfer to %d", g.id, to)
	g.w.leads(g.id, to)
	return nil
}

func (g *fakeGroup) AskLeadership(context.Context) error {
	g.w.happens("group %d: ask", g.id)
	return nil
}

// fakeParts are the parts that mx1 takes. It leads what it founds.
type fakeParts struct{ w *world }

func (p fakeParts) Running() (ids []uint64) {
	p.w.locked(func() { ids = slices.Clone(p.w.running) })
	return ids
}

func (p fakeParts) Join(g control.Group) error {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if p.w.joins != nil {
		return p.w.joins
	}
	if slices.Contains(p.w.running, g.ID) {
		return nil
	}
	p.w.running = append(p.w.running, g.ID)
	p.w.done = append(p.w.done, fmt.Sprintf("join %d", g.ID))
	if f := p.w.groups[g.ID]; f != nil && g.State == control.GroupNew && g.Home == 1 {
		f.term, f.leader, f.conf = 1, 1, cluster.Members{Voters: []uint16{1}, Index: 1}
	}
	return nil
}

func (p fakeParts) Leave(id uint64) error {
	p.w.happens("leave %d", id)
	gone := func(of uint64) bool { return of == id }
	p.w.locked(func() {
		p.w.running, p.w.held = slices.DeleteFunc(p.w.running, gone),
			slices.DeleteFunc(p.w.held, gone)
	})
	return nil
}

func (p fakeParts) Accepts(id uint64) (accepts bool) {
	p.w.locked(func() { accepts = p.w.accepts[id] })
	return accepts
}

func (p fakeParts) SetAccepts(id uint64, accepts bool) {
	p.w.locked(func() { p.w.accepts[id] = accepts })
}

func (p fakeParts) Next(g control.Group) (what string, do func(context.Context) error) {
	if p.w.next == nil {
		return "", nil
	}
	what, err := p.w.next(g)
	if what == "" {
		return "", nil
	}
	return what, func(context.Context) error { p.w.happens("group %d: %s", g.ID, what); return err }
}
