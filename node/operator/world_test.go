package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/member"
	rowstest "github.com/postroad/postroad/internal/testkit/rows"
	"github.com/postroad/postroad/node/internal/peer"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/queue"
)

// world is a cluster of active members mx1, mx2 ... as mx1 sees it: the control state is real, the
// others answer by what a test says.
type world struct {
	t       *testing.T
	state   *control.State
	store   *rowstest.Store
	changes *control.Editor
	reports map[uint16]*peer.Report         // of the others; none: silent
	acks    map[uint16][]api.Acknowledged   // what the others acknowledge
	asked   map[uint16]int                  // how often each was asked to
	queues  []Queue                         // of mx1
	opened  int                             // how often mx1 was opened to others
	own     peer.Report                     // of mx1
	leader  uint16                          // of the control group
	mu      sync.Mutex                      // guards asked
	current func(ctx context.Context) error // nil: mx1 knows all
	logged  []string
}

func newWorld(t *testing.T, members int) *world {
	t.Helper()
	w := &world{
		t: t, state: control.New(), leader: 1, reports: map[uint16]*peer.Report{},
		acks: map[uint16][]api.Acknowledged{}, asked: map[uint16]int{},
	}
	w.store = rowstest.New(w.state)
	w.changes = &control.Editor{State: w.state, Proposer: w.store, Now: time.Now}
	for i := range members {
		about := control.Node{
			Name: fmt.Sprint("mx", i+1), Address: fmt.Sprintf("mx%d:7025", i+1),
			Incarnation: uint64(i + 1), Version: "1", Protocol: control.Protocol,
		}
		if i == 0 {
			w.ok(w.changes.Init(t.Context(), "c1", []byte("cert"), []byte("key"), about))
			continue
		}
		m, err := w.changes.AddMember(t.Context(), about)
		w.ok(err)
		w.ok(w.changes.Activate(t.Context(), m.ID))
		w.reports[m.ID] = &peer.Report{Version: "1"}
	}
	w.settle()
	return w
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// settle gives every group the members that it should have.
func (w *world) settle() {
	w.t.Helper()
	for quiet := false; !quiet; {
		quiet = true
		if plan := control.Plan(w.state, control.Policy{Replicas: 3}); !plan.Empty() {
			w.ok(w.changes.Place(w.t.Context(), plan))
			quiet = false
		}
		for _, g := range w.state.Groups() {
			switch {
			case g.State == control.GroupNew:
				w.ok(w.changes.Bootstrapped(w.t.Context(), g.ID))
				quiet = false
			case !g.Settled() || g.Observed.Plan != g.Plan:
				now := control.Configuration{
					Voters: g.Voters, Nonvoters: g.Nonvoters, Index: g.Observed.Index + 1,
				}
				w.ok(w.changes.Observed(w.t.Context(), g.ID, now))
				quiet = false
			}
		}
	}
}

// home is the home group of a member.
func (w *world) home(id uint16) uint64 {
	w.t.Helper()
	group, ok := w.state.HomeOf(id)
	if !ok {
		w.t.Fatalf("member %d has no home group", id)
	}
	return group
}

// leads has a member say that it leads a group, whose other voters are as far as it is.
func (w *world) leads(id uint16, group uint64, messages uint64) {
	w.t.Helper()
	g, ok := w.state.Group(group)
	if !ok {
		w.t.Fatalf("there is no group %d", group)
	}
	lag := map[uint16]uint64{}
	for _, voter := range g.Voters {
		if voter != id {
			lag[voter] = 0
		}
	}
	version, _ := w.state.Suspensions()
	said := peer.Group{
		Status: cluster.Status{
			Group: group, Leading: true, Leader: id, Term: 1,
			Members: cluster.Members{Voters: g.Voters}, Lag: lag,
		},
		Messages: messages, Suspended: version,
	}
	r := &w.own
	if id != 1 {
		r = w.reports[id]
	}
	r.Groups = append(r.Groups, said)
}

func (w *world) operator() *Operator {
	absent := func() (all []member.Absence) {
		for _, m := range w.state.Members() {
			if m.ID != 1 && w.reports[m.ID] == nil {
				all = append(all, member.Absence{Member: m, Since: time.Unix(1_700_000_000, 0)})
			}
		}
		return all
	}
	return New(Options{
		Name: "mx1", Member: 1, State: w.state, Changes: w.changes, Suspender: w.changes,
		Group:     fakeGroup{w},
		Open:      func(context.Context) error { w.opened++; return nil },
		Members:   w.state.Members,
		Ask:       w.ask,
		Report:    func() peer.Report { return w.own },
		Absent:    absent,
		Reachable: func(id uint16) bool { return id == 1 || w.reports[id] != nil },
		Current: func(ctx context.Context) error {
			if w.current == nil {
				return nil
			}
			return w.current(ctx)
		},
		Queues: func() []Queue { return w.queues },
		Errorf: func(f string, a ...any) { w.logged = append(w.logged, fmt.Sprintf(f, a...)) },
		Now:    time.Now,
	})
}

var errSilent = errors.New("no answer")

func (w *world) ask(
	_ context.Context, id uint16, method, path string, _, into any,
) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	report := w.reports[id]
	switch {
	case report == nil:
		return errSilent
	case path == peer.ReportPath:
		*into.(*peer.Report) = *report
	case path == suspensionsPath && method == "POST":
		w.asked[id]++
		*into.(*[]api.Acknowledged) = w.acks[id]
	case path == suspensionsPath:
		into.(*suspendVersion).Version, _ = w.state.Suspensions()
	default:
		return fmt.Errorf("%s %s: %w", method, path, errSilent)
	}
	return nil
}

// fakeGroup is the control group.
type fakeGroup struct{ w *world }

func (g fakeGroup) Leader() (uint16, bool) { return g.w.leader, g.w.leader != 0 }
func (g fakeGroup) Holds(term uint64) bool { return term != 0 }

func (g fakeGroup) Leading() uint64 {
	if g.w.leader == 1 {
		return 1
	}
	return 0
}

func (g fakeGroup) Scan(_, _ []byte, fn func(k, v []byte) bool) error {
	return g.w.store.Scan(nil, []byte{0xff}, fn)
}

// fakeQueue is a queue group of mx1.
type fakeQueue struct {
	sync.Mutex
	id    uint64
	owned bool
	fails int // so many take-overs
	have  queue.Suspensions
	took  []uint64 // versions
}

func (q *fakeQueue) ID() uint64 { return q.id }

func (q *fakeQueue) Term() *Term {
	if !q.owned {
		return nil
	}
	return &Term{Holds: func() bool { return true }}
}

func (q *fakeQueue) Suspensions() (queue.Suspensions, error) { return q.have, nil }

func (q *fakeQueue) Suspend(
	_ context.Context, version uint64, all []queue.Suspension,
) (queue.Suspensions, error) {
	if q.fails > 0 {
		q.fails--
		return q.have, errors.New("no majority")
	}
	q.took = append(q.took, version)
	q.have = queue.Suspensions{Version: version, Index: 100 + version, All: slices.Clone(all)}
	return q.have, nil
}
