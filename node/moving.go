package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/operate/admin/api"
)

// A node that was started at another address than the members know is reached by none of them, and
// so hears of no leader. But it reaches them: it says hello, to one after the other, until one has
// got its address into the control state. Who hears it writes the address down at once, for there
// may be no leader before that node is reached.

// hello is what a node says of itself that no leader has reached.
type hello struct {
	Address string `json:"address,omitempty"` // where it is dialled; "": a program before this field
}

const (
	helloTime = 3 * time.Second // for a member's answer
	lookTime  = time.Second     // for a look at who answers at an address
	heardTime = 3 * time.Second // until what was told to the members comes back from the leader
)

// statusTaken answers a hello with an address at which another member answers.
const statusTaken = http.StatusMisdirectedRequest

// free refuses an address at which another member than this one (0: who has no number) answers now.
// One that does not answer may be dead, and this node in its place.
func (n *node) free(ctx context.Context, address string, member uint16) error {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	who, err := n.port.Who(ctx, address)
	if err != nil || who.Member == member ||
		n.control.Admit(who.Member, who.Incarnation) != nil { // no member any more
		return nil
	}
	m, _ := n.control.Member(who.Member)
	return api.Permanent(fmt.Errorf(
		"at %s %s (member %d) answers: give each node a cluster.advertise of its own, at which the others reach it",
		address, m.Name, who.Member,
	))
}

// setAddress says in the control state where a member is.
func (n *node) setAddress(ctx context.Context, member uint16, address string) error {
	if err := n.free(ctx, address, member); err != nil {
		return err
	}
	return n.changes.SetAddress(ctx, member, address)
}

// serveHello makes a member that has joined, and runs now, an active one, and takes over where it
// is. It cannot do so itself: it has no control state yet, or no leader reaches it.
func (n *node) serveHello(w http.ResponseWriter, r *http.Request) {
	peer, ok := wire.Peer(r.Context())
	if !ok {
		http.Error(w, "who are you?", http.StatusForbidden)
		return
	}
	var said hello
	if err := json.NewDecoder(r.Body).Decode(&said); err != nil && !errors.Is(err, io.EOF) {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	err := n.heard(r.Context(), peer.Member, said)
	if err == nil {
		err = n.changes.Activate(r.Context(), peer.Member)
	}
	switch {
	case api.IsPermanent(err):
		http.Error(w, err.Error(), statusTaken)
	case err != nil:
		http.Error(w, err.Error(), http.StatusConflict)
	}
}

// heard takes over where a member is.
func (n *node) heard(ctx context.Context, member uint16, said hello) error {
	if said.Address == "" {
		return nil
	}
	if err := n.free(ctx, said.Address, member); err != nil {
		return err
	}
	if err := n.addresses.Keep(map[uint16]string{member: said.Address}); err != nil {
		return err
	}
	if m, ok := n.control.Member(member); ok && m.Address == said.Address {
		return nil
	}
	return n.changes.SetAddress(ctx, member, said.Address)
}

// sayHello tells any member that this one runs, and where. The order is another each time, so that
// members that do not answer do not keep those that do from being asked.
func (n *node) sayHello(ctx context.Context) error {
	var all error
	members := n.addresses.Members()
	rand.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	for _, member := range members {
		if member == n.self.Member {
			continue
		}
		err := n.helloTo(ctx, member)
		if err == nil || api.IsPermanent(err) {
			return err
		}
		all = errors.Join(all, err)
	}
	return all
}

func (n *node) helloTo(ctx context.Context, member uint16) error {
	ctx, cancel := context.WithTimeout(ctx, helloTime)
	defer cancel()
	about := hello{n.cfg.Cluster.Advertise}
	err := n.ask(ctx, member, http.MethodPost, "/node/hello", about, nil)
	var answer *cluster.Answer
	if errors.As(err, &answer) && answer.Status == statusTaken {
		return api.Permanent(err)
	}
	return err
}

// tellAddress tells the members where this one is, through the leader where one reaches it. It
// returns nil when that has come back from the leader.
func (n *node) tellAddress(ctx context.Context) error {
	err := n.setAddress(ctx, n.self.Member, n.cfg.Cluster.Advertise)
	if err != nil && !api.IsPermanent(err) {
		err = n.sayHello(ctx)
	}
	if err != nil {
		return err
	}
	return n.heardBack(ctx)
}

// heardBack waits until this node has applied where it is itself: then a leader has reached it.
func (n *node) heardBack(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, heardTime)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		m, ok := n.control.Member(n.self.Member)
		if ok && (m.Address == n.cfg.Cluster.Advertise || !n.listens.Load()) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf(
				"a member was told, and none that leads has reached this node at %s since",
				n.cfg.Cluster.Advertise,
			)
		}
	}
}

// addressOf finds a member: in the control state while that is known to be new, else where it was
// last.
func (n *node) addressOf(member uint16) (string, bool) {
	return n.addresses.Find(member, n.control, n.knowsNow())
}

// keepAddresses writes down where the control state says that the members are.
func (n *node) keepAddresses() {
	if err := n.addresses.Follow(n.control.Members(), n.knowsNow()); err != nil {
		n.log.Errorf("%v", err)
	}
}

// knowsNow reports whether the control state is known to be new. After a crash its rows may be from
// before what the address book has.
func (n *node) knowsNow() bool { return n.store.Group(cluster.ControlGroup).Fresh() }
