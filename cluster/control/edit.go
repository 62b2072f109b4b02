package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postroad/postroad/cluster/token"
	"github.com/postroad/postroad/internal/rows"
)

// Editor makes the commands that change the state, on any member. Each returns an error that says
// what to do when the command makes no sense now; errors.Is tells ErrInvalid, which every refusal
// is, ErrUnknown, ErrExists, ErrFull, ErrBusy and ErrStale. Any other error means that the outcome
// is not known: all commands may be repeated.
type Editor struct {
	State    *State
	Proposer rows.Proposer    // answers with what Apply returned: a Result
	Now      func() time.Time // command time
	// Reachable reports whether a member answers; nil: all do. Remove and Replace leave no group
	// without a majority of those that do.
	Reachable func(member uint16) bool
	// Patience is for how long Remove and Replace wait for groups that are just being changed
	// (ErrBusy); 0: not at all.
	Patience time.Duration
}

// Node is what a node says of itself.
type Node struct {
	Name string `json:"name,omitempty"`
	// host:port that others dial; may be empty as long as it is alone
	Address     string `json:"address,omitempty"`
	Incarnation uint64 `json:"incarnation,omitempty"`
	Version     string `json:"version,omitempty"`
	Protocol    int    `json:"protocol"`
	Key         string `json:"key,omitempty"` // its public key (wire.Credentials.PublicKey)
}

// Init makes a cluster of one: member 1, the control group and the member's home group. Repeated by
// the same node it does nothing.
func (e *Editor) Init(ctx context.Context, id string, caCert, caKey []byte, n Node) error {
	if id == "" || len(caCert) == 0 || len(caKey) == 0 {
		return errors.New("a cluster needs a name, a certificate and a key")
	}
	if err := n.check(false); err != nil {
		return err
	}
	_, err := e.propose(ctx, cmdInit,
		command{Cluster: &cluster{ID: id, CACert: caCert, CAKey: caKey}, Node: &n})
	return err
}

// AddMember gives a node that joins its number. The same node (name and incarnation) gets the same
// number again.
func (e *Editor) AddMember(ctx context.Context, n Node) (Member, error) {
	return e.Join(ctx, n, token.Verifier{})
}

// Join is AddMember for a node that has shown a token, which counts how many it lets in.
func (e *Editor) Join(ctx context.Context, n Node, with token.Verifier) (Member, error) {
	if err := n.check(true); err != nil {
		return Member{}, refuse(Refused, "%v", err).Err()
	}
	for _, m := range e.State.Members() { // people write names as they like
		if m.State != Removed && m.Name != n.Name && strings.EqualFold(m.Name, n.Name) {
			return Member{}, refuse(Exists, "%s is member %d already: names that differ in "+
				"capital letters alone are one name", m.Name, m.ID).Err()
		}
	}
	if e.State.MinProtocol() < KeysProtocol {
		n.Key = "" // some would not keep it
	}
	c := command{Node: &n}
	if e.State.MinProtocol() >= TokensProtocol && len(with.Stored) > 0 {
		c.Token = &Token{Verifier: with}
	}
	r, err := e.propose(ctx, cmdAddMember, c)
	if err != nil {
		return Member{}, err
	}
	if r.Member == nil {
		return Member{}, errors.New("adding the member: the answer does not say which")
	}
	return *r.Member, nil
}

// Activate says that a member that joined was seen running.
func (e *Editor) Activate(ctx context.Context, member uint16) error {
	return e.simple(ctx, cmdActivate, command{Member: member})
}

// SetAddress says where a member is dialled from now on.
func (e *Editor) SetAddress(ctx context.Context, member uint16, address string) error {
	if err := checkAddress(address); err != nil {
		return err
	}
	return e.simple(ctx, cmdSetAddress, command{Member: member, Node: &Node{Address: address}})
}

// SetVersion says what a member runs. It is refused when the cluster already speaks a newer
// protocol; that member must not go on.
func (e *Editor) SetVersion(
	ctx context.Context, member uint16, version string, protocol int,
) error {
	return e.simple(ctx, cmdSetVersion,
		command{Member: member, Node: &Node{Version: version, Protocol: protocol}})
}

// Drain takes a member's places away, step by step.
func (e *Editor) Drain(ctx context.Context, member uint16) error {
	return e.simple(ctx, cmdDrain, command{Member: member})
}

// Undrain makes a draining member an ordinary one again.
func (e *Editor) Undrain(ctx context.Context, member uint16) error {
	return e.simple(ctx, cmdUndrain, command{Member: member})
}

// Remove takes a member out of the cluster for good. From then on nobody talks to it.
func (e *Editor) Remove(ctx context.Context, member uint16) error {
	return e.patiently(ctx, cmdRemove, command{Member: member})
}

// RemoveLost takes out a member without which the groups were recovered, and retires the queue
// groups of which nobody else has a copy. The groups' new configurations must have been reported
// before.
func (e *Editor) RemoveLost(ctx context.Context, member uint16) error {
	return e.simple(ctx, cmdRemove, command{Member: member, Lost: true})
}

// Replace gives all places of old to heir, an active member, and removes old.
func (e *Editor) Replace(ctx context.Context, old, heir uint16) error {
	return e.patiently(ctx, cmdReplace, command{Member: old, Other: heir})
}

// Refound gives the cluster another identity and authority after its groups were recovered by this
// member alone: whoever has a certificate of the old one is a stranger from now on. All tokens end.
func (e *Editor) Refound(ctx context.Context, id string, caCert, caKey []byte) error {
	return e.simple(ctx, cmdRefound,
		command{Cluster: &cluster{ID: id, CACert: caCert, CAKey: caKey}})
}

// Observed reports a group's raft configuration, and that its leader knows the plan as this member
// does. Only the leader reports, and it makes no change (Next) between reading the configuration
// and the end of the report.
func (e *Editor) Observed(ctx context.Context, group uint64, c Configuration) error {
	if g, ok := e.State.Group(group); ok {
		c.Plan = g.Plan
	}
	c.Voters, c.Nonvoters = union(c.Voters), union(c.Nonvoters)
	return e.simple(ctx, cmdObserved, command{Group: group, Seen: &c})
}

// Bootstrapped says that a new group runs, with its home as its only voter.
func (e *Editor) Bootstrapped(ctx context.Context, group uint64) error {
	return e.simple(ctx, cmdBootstrapped, command{Group: group})
}

// Retire ends a draining group. Only its leader does, when nothing is left in it.
func (e *Editor) Retire(ctx context.Context, group uint64) error {
	return e.simple(ctx, cmdRetire, command{Group: group})
}

// Place takes a plan over. ErrStale: the state has changed since, plan again.
func (e *Editor) Place(ctx context.Context, p Placement) error {
	if p.Empty() {
		return nil
	}
	return e.simple(ctx, cmdPlace, command{Place: &p})
}

func (e *Editor) simple(ctx context.Context, kind commandType, c command) error {
	_, err := e.propose(ctx, kind, c)
	return err
}

// busyPause is the time between two tries of a removal.
const busyPause = 200 * time.Millisecond

// patiently repeats a removal that groups in motion refuse.
func (e *Editor) patiently(ctx context.Context, kind commandType, c command) error {
	for waited := time.Duration(0); ; waited += busyPause {
		c.Down = e.down()
		err := e.simple(ctx, kind, c)
		if !errors.Is(err, ErrBusy) || waited >= e.Patience {
			return err
		}
		pause := time.NewTimer(busyPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return err
		}
	}
}

func (e *Editor) propose(ctx context.Context, kind commandType, c command) (Result, error) {
	c.At = e.Now().UTC()
	data, err := encodeCommand(kind, &c)
	if err != nil {
		return Result{}, fmt.Errorf("encoding the command: %w", err)
	}
	result, err := e.Proposer.Propose(ctx, data, nil)
	if err != nil {
		return Result{},
			fmt.Errorf("recording the change (it may take effect still; repeat it): %w", err)
	}
	r, ok := result.(Result)
	if !ok {
		return Result{}, fmt.Errorf("recording the change: unexpected answer %T", result)
	}
	return r, r.Err()
}

// down returns the members that do not answer.
func (e *Editor) down() []uint16 {
	if e.Reachable == nil {
		return nil
	}
	return slices.DeleteFunc(e.State.view.Load().in(Active, Draining), e.Reachable)
}

func (n *Node) check(joins bool) error {
	if n.Name == "" || len(n.Name) > maxName || strings.Trim(n.Name, nameOctets) != "" ||
		strings.Trim(n.Name, "0123456789") == "" {
		return fmt.Errorf(
			"%q is no name for a node: 1 to %d letters, digits, dots, hyphens and underscores, "+
				"and not digits alone", n.Name, maxName)
	}
	if n.Incarnation == 0 {
		return errors.New("the store has no incarnation")
	}
	if n.Address == "" && !joins {
		return nil
	}
	return checkAddress(n.Address)
}

const nameOctets = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"

func checkAddress(a string) error {
	colon := strings.LastIndexByte(a, ':')
	if colon <= 0 || colon == len(a)-1 || len(a) > maxAddress ||
		strings.ContainsAny(a, " \t\r\n/") {
		return fmt.Errorf("%q is not host:port, where other nodes dial this one", a)
	}
	return nil
}
