package member

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/wire"
)

// VouchPath is where a member says whom it knows, to one that was away while others joined.
const VouchPath = "/node/members"

const (
	vouchTime  = 3 * time.Second        // for an answer
	vouchPause = 200 * time.Millisecond // between two rounds of questions
	vouchGrace = 10 * time.Second       // before it is a line of the log
	maxVouched = control.MaxMembers
)

// GatekeeperOptions are what a Gatekeeper needs.
type GatekeeperOptions struct {
	Self  uint16
	State *control.State
	Fresh func() bool // what State has is known to be new
	// Ask asks another member over the cluster port.
	Ask    func(ctx context.Context, id uint16, method, path string, body, into any) error
	Ctx    context.Context // of the questions; it ends with the node
	Errorf func(format string, args ...any)
	// Told are the members that this node knew last, or of which it was told when it joined
	// (ReadTold), and Keep keeps them (KeepTold).
	Told []wire.KnownMember
	Keep func([]wire.KnownMember) error
}

// Gatekeeper judges who is admitted to the cluster port. A member that this node's state has is
// admitted by its number, its disk and its key. A number that the state does not have may have been
// given while this node was away, and its holder may lead by now; or somebody has made a
// certificate with the authority's key, which every node had once. So the members that the state
// has are asked: who is vouched for by one of them is admitted until the state tells. So are those
// of whom it was told when it joined: it takes the log over from its beginning, and for a while has
// members who are all gone by now. Safe for use by several goroutines.
type Gatekeeper struct {
	o    GatekeeperOptions
	kept []wire.KnownMember // of Follow alone
	mu   struct {
		sync.Mutex
		vouched map[uint16]wire.KnownMember
		asking  bool
		asked   time.Time
		since   time.Time // that strangers are asked about in vain
		logged  time.Time
	}
}

// NewGatekeeper returns a Gatekeeper that knows whom the node knew before.
func NewGatekeeper(o GatekeeperOptions) *Gatekeeper {
	g := &Gatekeeper{o: o, kept: o.Told}
	g.mu.vouched = map[uint16]wire.KnownMember{}
	g.believe(o.Told)
	return g
}

// Admit says why a peer with that key (wire.Credentials.PublicKey) is refused, or returns nil. It
// does not wait for anybody: a peer that is asked about comes again. A node without any state
// relies on the certificate: its rows come from those that it joined.
func (g *Gatekeeper) Admit(peer wire.Identity, key string) error {
	s := g.o.State
	if len(s.Members()) == 0 {
		return nil
	}
	// A node that takes the log over from its beginning has the keys of before a recovery for a
	// while, with the cluster's name of then.
	id, _ := s.Cluster()
	if id != peer.Cluster || s.MinProtocol() < control.KeysProtocol {
		return wire.Final(s.Admit(peer.Member, peer.Incarnation, ""))
	}
	if s.HeardOf(peer.Member) {
		if err := s.Admit(peer.Member, peer.Incarnation, ""); err != nil {
			return wire.Final(err)
		}
		err := s.Admit(peer.Member, peer.Incarnation, key)
		if err == nil || g.o.Fresh() {
			return wire.Final(err)
		}
		// By rows that may be old: a join that was repeated has changed the key, perhaps.
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if v, ok := g.mu.vouched[peer.Member]; ok && v.Incarnation == peer.Incarnation &&
		(v.Key == "" || v.Key == key) {
		return nil
	}
	if !g.mu.asking && time.Since(g.mu.asked) >= vouchPause {
		g.mu.asking = true
		go g.ask(peer.Member)
	}
	return fmt.Errorf(
		"member %d is not known here: this node asks the members that it knows for it",
		peer.Member)
}

// Follow keeps whom the state has, for a start after a crash: the rows may be from before a member
// joined then, and where that one is needed for a majority nothing newer ever comes. It is called
// after each change, by one goroutine.
func (g *Gatekeeper) Follow() {
	known := present(g.o.State)
	if len(known) == 0 {
		return
	}
	if !g.o.Fresh() { // what is kept may be newer
		for _, v := range g.kept {
			if !g.o.State.HeardOf(v.ID) {
				known = append(known, v)
			}
		}
	}
	if slices.Equal(known, g.kept) {
		return
	}
	if err := g.o.Keep(known); err != nil {
		g.o.Errorf("the members cannot be written down: %v", err)
		return
	}
	g.kept = known
}

// present are the members that were not removed, with their keys.
func present(s *control.State) (known []wire.KnownMember) {
	for _, m := range s.Members() {
		known = append(known, wire.KnownMember{ID: m.ID, Incarnation: m.Incarnation, Key: m.Key})
	}
	return known
}

// ask asks all that this node knows whom they know.
func (g *Gatekeeper) ask(about uint16) {
	ctx, cancel := context.WithTimeout(g.o.Ctx, vouchTime)
	defer cancel()
	var all sync.WaitGroup
	for _, m := range g.o.State.Members() {
		if m.ID == g.o.Self || m.State == control.Removed || m.State == control.Joining {
			continue
		}
		all.Go(func() {
			var known []wire.KnownMember
			if g.o.Ask(ctx, m.ID, http.MethodGet, VouchPath, nil, &known) == nil {
				g.believe(known)
			}
		})
	}
	all.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.asking, g.mu.asked = false, time.Now()
	if _, ok := g.mu.vouched[about]; ok {
		g.mu.since = time.Time{}
		return
	}
	if g.mu.since.IsZero() {
		g.mu.since = g.mu.asked // one that has just joined hears of all in a moment
	}
	if time.Since(g.mu.since) >= vouchGrace && time.Since(g.mu.logged) >= logEvery {
		g.mu.logged = g.mu.asked
		g.o.Errorf("member %d wants to connect, whom this node does not know; none of the "+
			"members that it knows answers and vouches for it, so it is refused. If they were "+
			"all replaced while this node was away, empty its data directory and join it under "+
			"another name", about)
	}
}

// believe notes those that this node's state does not have.
func (g *Gatekeeper) believe(known []wire.KnownMember) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, v := range g.mu.vouched {
		if g.tells(v) {
			delete(g.mu.vouched, id)
		}
	}
	for _, v := range known {
		_, again := g.mu.vouched[v.ID]
		if !g.tells(v) && (again || len(g.mu.vouched) < maxVouched) {
			g.mu.vouched[v.ID] = v
		}
	}
}

// tells reports whether the state says the same of a member.
func (g *Gatekeeper) tells(v wire.KnownMember) bool {
	m, ok := g.o.State.Member(v.ID)
	return ok && (m.Key == v.Key || m.Key == "")
}

// ServeVouch answers a member that was away.
func (g *Gatekeeper) ServeVouch(w http.ResponseWriter, _ *http.Request) {
	known := present(g.o.State)
	if known == nil {
		known = []wire.KnownMember{}
	}
	_ = json.NewEncoder(w).Encode(known) // who asks sees that it was cut off
}
