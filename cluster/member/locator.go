package member

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
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/operate/admin/api"
)

// A node that was started at another address than the members know is reached by none of them, and
// so hears of no leader. But it reaches them: it says hello, to one after the other, until one has
// got its address into the control state. Who hears it writes the address down at once, for there
// may be no leader before that node is reached.

// HelloPath is where a member hears that another runs, by POST.
const HelloPath = "/node/hello"

// hello is what a node says of itself that no leader has reached.
type hello struct {
	// where it is dialled; "": a program before this field
	Address string `json:"address,omitempty"`
}

const (
	helloTime = 3 * time.Second // for a member's answer
	lookTime  = time.Second     // for a look at who answers at an address
	heardTime = 3 * time.Second // until what was told to the members comes back from the leader
)

// statusTaken answers a hello with an address at which another member answers.
const statusTaken = http.StatusMisdirectedRequest

// LocatorOptions are what a Locator needs.
type LocatorOptions struct {
	Self      wire.Identity
	Advertise string // where the others are to reach this node
	State     *control.State
	Changes   *control.Editor
	Book      *AddressBook
	// Ask makes a request to another member ; a *cluster.Node's Ask does.
	Ask func(ctx context.Context, member uint16, method, path string, body, into any) error
	// Who returns the member that answers at an address.
	Who func(ctx context.Context, address string) (wire.Identity, error)
	// Fresh reports whether the state is known to be new. After a crash its rows may be from before
	// what the book has.
	Fresh func() bool
	// Listens reports whether this node can be reached by others.
	Listens func() bool
	Errorf  func(format string, args ...any)
}

// Locator makes the members know where this node is, and takes over where they are.
type Locator struct{ o LocatorOptions }

// NewLocator returns a Locator.
func NewLocator(o LocatorOptions) *Locator { return &Locator{o} }

// follow writes down where the control state says that the members are.
func (l *Locator) follow() {
	if err := l.o.Book.Follow(l.o.State.Members(), l.o.Fresh()); err != nil {
		l.o.Errorf("%v", err)
	}
}

// CheckFree refuses an address at which another member than this one (0: who has no number) answers
// now. One that does not answer may be dead, and this node in its place.
func (l *Locator) CheckFree(ctx context.Context, address string, member uint16) error {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	who, err := l.o.Who(ctx, address)
	if err != nil || who.Member == member ||
		l.o.State.Admit(who.Member, who.Incarnation, "") != nil { // no member any more
		return nil
	}
	m, _ := l.o.State.Member(who.Member)
	return api.Permanent(fmt.Errorf(
		"at %s %s (member %d) answers: "+
			"give each node a cluster.advertise of its own, at which the others reach it",
		address, m.Name, who.Member,
	))
}

// SetAddress says in the control state where a member is.
func (l *Locator) SetAddress(ctx context.Context, member uint16, address string) error {
	if err := l.CheckFree(ctx, address, member); err != nil {
		return err
	}
	return l.o.Changes.SetAddress(ctx, member, address)
}

// ServeHello makes a member that has joined, and runs now, an active one, and takes over where it
// is. It cannot do so itself: it has no control state yet, or no leader reaches it.
func (l *Locator) ServeHello(w http.ResponseWriter, r *http.Request) {
	peer, ok := wire.Peer(r.Context())
	if !ok {
		http.Error(w, "who are you?", http.StatusForbidden)
		return
	}
	var about hello
	if err := json.NewDecoder(r.Body).Decode(&about); err != nil && !errors.Is(err, io.EOF) {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	err := l.hear(r.Context(), peer.Member, about)
	switch {
	case api.IsPermanent(err):
		http.Error(w, err.Error(), statusTaken)
	case err != nil:
		http.Error(w, err.Error(), http.StatusConflict)
	}
}

// hear takes over what a member says of itself.
func (l *Locator) hear(ctx context.Context, member uint16, about hello) error {
	if err := l.hearAddress(ctx, member, about.Address); err != nil {
		return err
	}
	return l.o.Changes.Activate(ctx, member)
}

func (l *Locator) hearAddress(ctx context.Context, member uint16, address string) error {
	if address == "" {
		return nil
	}
	if err := l.CheckFree(ctx, address, member); err != nil {
		return err
	}
	if err := l.o.Book.Keep(map[uint16]string{member: address}); err != nil {
		return err
	}
	if m, ok := l.o.State.Member(member); ok && m.Address == address {
		return nil
	}
	return l.o.Changes.SetAddress(ctx, member, address)
}

// moved reports whether this node, as the state has it, is to be reached elsewhere now.
func (l *Locator) moved(m control.Member) bool {
	return m.Address != l.o.Advertise &&
		l.o.Listens()
}

// introduce tells the members that this one runs. It returns nil when the state has come.
func (l *Locator) introduce(ctx context.Context) error {
	if err := l.sayHello(ctx); err != nil {
		return err
	}
	return l.heardBack(ctx)
}

// tellAddress tells the members where this one is, through the leader where one reaches it. It
// returns nil when that has come back from the leader.
func (l *Locator) tellAddress(ctx context.Context) error {
	err := l.SetAddress(ctx, l.o.Self.Member, l.o.Advertise)
	if err != nil && !api.IsPermanent(err) {
		err = l.sayHello(ctx)
	}
	if err != nil {
		return err
	}
	return l.heardBack(ctx)
}

// sayHello tells any member that this one runs, and where. The order is another each time, so that
// members that do not answer do not keep those that do from being asked.
func (l *Locator) sayHello(ctx context.Context) error {
	var all error
	members := l.o.Book.Members()
	rand.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	for _, member := range members {
		if member == l.o.Self.Member {
			continue
		}
		err := l.helloTo(ctx, member)
		if err == nil || api.IsPermanent(err) {
			return err
		}
		all = errors.Join(all, err)
	}
	return all
}

func (l *Locator) helloTo(ctx context.Context, member uint16) error {
	ctx, cancel := context.WithTimeout(ctx, helloTime)
	defer cancel()
	err := l.o.Ask(ctx, member, http.MethodPost, HelloPath, hello{l.o.Advertise}, nil)
	var answer *cluster.Answer
	if errors.As(err, &answer) && answer.Status == statusTaken {
		return api.Permanent(err)
	}
	return err
}

// heardBack waits until this node has applied where it is itself: then a leader has reached it.
func (l *Locator) heardBack(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, heardTime)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if m, ok := l.o.State.Member(l.o.Self.Member); ok && !l.moved(m) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf(
				"a member was told, and none that leads has reached this node at %s since",
				l.o.Advertise,
			)
		}
	}
}
