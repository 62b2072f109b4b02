package node

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/member"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/operate/admin/api"
)

// This file is about a node that its cluster will not have: it was removed, its disk is another
// than the one that joined, or its program is too old. It ends with exit status 78, after which a
// service manager does not start it again, and with words that say what to do.

// failed ends the process when the storage or a state machine cannot go on.
func (n *node) failed(err error) {
	if errors.Is(err, cluster.ErrTooOld) {
		err = api.Permanent(err)
	}
	var back *cluster.TakenBack
	if errors.As(err, &back) {
		err = cmp.Or(takenBack(n.store), err) // in all groups in which it knows
	}
	n.fail(n.damaged(err))
}

// mayTakePart returns why this node must not take part in its cluster, as far as its own state
// tells.
func (n *node) mayTakePart() error {
	if err := n.control.TooOld(protocol); err != nil {
		return err
	}
	if err := n.control.Admit(n.self.Member, n.self.Incarnation, ""); err != nil {
		return err
	}
	return n.keepsName()
}

// keepsName refuses to be a member under another name than it has in the cluster: the others, the
// log and the operator would speak of two nodes. One that never had another member beside it, and
// lets none in, may be called anything.
func (n *node) keepsName() error {
	m, ok := n.control.Member(n.self.Member)
	if !ok || m.Name == n.cfg().Node.Name || n.staysAlone() {
		return nil
	}
	return misnamed(n.cfg(), m.Name, m.ID)
}

// staysAlone reports whether this node never had another member beside it, and lets none in.
func (n *node) staysAlone() bool {
	return n.self.Member == 1 && len(n.cfg().Cluster.Join) == 0 &&
		!n.store.OpenedUp() && !n.store.HasPeers() && len(n.control.Members()) == 1
}

// misnamed refuses a configuration with another name than the one under which the node is a member.
func misnamed(cfg *config.Config, name string, member uint16) error {
	if cfg.Node.Name == name {
		return nil
	}
	return fmt.Errorf(
		"%s is that of %s (member %d), but node.name is %s: the name is part of the membership. "+
			"Put node.name = %q back; "+
			"for another name, join a new node under it, with a data directory of its own, and "+
			"run `postroad cluster replace %s NEW`",
		cfg.Node.DataDir, name, member, cfg.Node.Name, name, name,
	)
}

// drainNotice is how long a node that is evicted says so, at /readyz and to its clients, before it
// stops.
const drainNotice = 10 * time.Second

// evicted handles permanent eviction from the cluster. Others refuse this node from now on, so it
// learns that from one of them more often than from its own state. It takes no more mail, and stops
// in good order.
func (n *node) evicted(why error) {
	if !n.out.CompareAndSwap(nil, &why) {
		return
	}
	n.alert(member.Event{
		Name: member.EventEvicted, Member: n.self.Member, MemberName: n.cfg().Node.Name,
		Words: why.Error(),
	})
	time.AfterFunc(drainNotice, func() {
		select {
		case n.leave <- why:
		default:
		}
	})
}
