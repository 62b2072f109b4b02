package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/internal/config"
)

// A node that has lost its disk, and the note that it was a member, begins a cluster of its own at its old address. Its cluster's members meet
// it there, and tell it (wire.Claim). Nothing that it still has could prove who they are, so a stranger who reaches its cluster port could say the same:
// it believes them only while nobody has ever said that it is a cluster, by `cluster init` or `cluster token` or a list of nodes, and nobody has
// joined it.

// mayBeClaimed reports whether this node began a cluster because nothing told it otherwise, at an address where other nodes may expect it.
func (n *node) mayBeClaimed() bool {
	return n.self.Member == 1 && len(n.cfg.Cluster.Join) == 0 && n.cfg.Cluster.Listen != config.Default().Cluster.Listen &&
		!n.store.OpenedUp() && !n.store.HasPeers()
}

var errNobodys = errors.New("this node is of a cluster of its own, as an operator has said")

// claimed judges what a member of another cluster says.
func (n *node) claimed(c wire.Claim) error {
	if c.Address != n.cfg.Cluster.Advertise {
		return fmt.Errorf("this node advertises %s, not %s", n.cfg.Cluster.Advertise, c.Address)
	}
	if !n.mayBeClaimed() {
		n.log.Errorf("member %d of cluster %s lists this node as member %d of that cluster, but it has one of its own: one of the two is to be removed",
			c.Teller.Member, c.Teller.Cluster, c.Member)
		return errNobodys
	}
	n.shutOut(fmt.Errorf("member %d of cluster %s says that this node, at %s, is its member %d: this disk is another one and has begun a cluster of its own. "+
		"If it was that member, empty %s, give the node another name, join with `postroad cluster join` and run `postroad cluster replace` there; what it took meanwhile is in its queue. "+
		"If it was not, start it with another cluster.advertise and run `postroad cluster init`",
		c.Teller.Member, c.Teller.Cluster, c.Address, c.Member, n.cfg.Node.DataDir))
	return nil
}

// tellEvery is the least time between two tries to tell a stranger at a member's address.
const tellEvery = 10 * time.Second

// tellStranger tells the node at a member's address, which has shown a certificate of another cluster, that it is listed as that member here.
func (n *node) tellStranger(member uint16) {
	n.strangers.Lock()
	due := time.Since(n.strangers.told[member]) >= tellEvery
	if due {
		n.strangers.told[member] = time.Now()
	}
	n.strangers.Unlock()
	if !due {
		return
	}
	ctx, cancel := context.WithTimeout(n.background, pingEvery)
	defer cancel()
	what := "it was told that it is not"
	if err := n.port.Tell(ctx, member); err != nil {
		what = err.Error()
	}
	n.log.Errorf("at the address of member %d another cluster's node answers: %s", member, what)
}
