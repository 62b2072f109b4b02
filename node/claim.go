package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/postroad/postroad/cluster/member"
	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/internal/config"
)

// A node that has lost its disk, and the note that it was a member, begins a cluster of its own at
// its old address. Its cluster's members meet it there, and tell it (wire.Claim). Nothing that it
// still has could prove who they are, so a stranger who reaches its cluster port could say the
// same: it believes them only while nobody has ever said that it is a cluster, by `cluster init` or
// `cluster token` or a list of nodes, while nobody has joined it, and on the first day of its disk:
// the members of an emptied node meet it within seconds.

// claimTime is how long after its disk was new a node may be claimed.
const claimTime = 24 * time.Hour

// mayBeClaimed reports whether this node began a cluster because nothing told it otherwise, at an
// address where other nodes may expect it.
func (n *node) mayBeClaimed() bool {
	return n.self.Member == 1 && len(n.cfg().Cluster.Join) == 0 &&
		n.cfg().Cluster.Listen != config.Default().Cluster.Listen &&
		!n.store.OpenedUp() &&
		!n.store.HasPeers() &&
		n.diskIsNew()
}

// diskIsNew reports whether this node began its cluster less than claimTime ago. The certificate of
// the authority is written once, at the beginning.
func (n *node) diskIsNew() bool {
	made, err := os.Stat(filepath.Join(clusterDir(n.cfg()), wire.CAFile))
	return err == nil && time.Since(made.ModTime()) < claimTime
}

var errNobodys = errors.New("this node is of a cluster of its own, as an operator has said")

// claimed judges what a member of another cluster says.
func (n *node) claimed(c wire.Claim) error {
	if c.Address != n.cfg().Cluster.Advertise {
		return fmt.Errorf("this node advertises %s, not %s", n.cfg().Cluster.Advertise, c.Address)
	}
	if !n.mayBeClaimed() {
		if n.strangers.due(
			nobody,
		) { // anybody who reaches the port can say so, as often as he likes
			n.log.Errorf("member %d of cluster %s lists this node as member %d of that cluster, "+
				"but it has one of its own: one of the two is to be removed",
				c.Teller.Member, c.Teller.Cluster, c.Member)
		}
		return errNobodys
	}
	n.evicted(
		fmt.Errorf(
			"member %d of cluster %s says that this node, at %s, is its member %d: this disk is "+
				"another one and has begun a cluster of its own. "+
				"If it was that member, empty %s, give the node another name, join with "+
				"`postroad cluster join` and run `postroad cluster replace` there; what it took "+
				"meanwhile is in its queue. "+
				"If it was not, start it with another cluster.advertise and run `postroad "+
				"cluster init`",
			c.Teller.Member,
			c.Teller.Cluster,
			c.Address,
			c.Member,
			n.cfg().Node.DataDir,
		),
	)
	return nil
}

// tellEvery is the least time between two tries to tell a stranger at a member's address, and
// between two lines of the log about what strangers say.
const tellEvery = 10 * time.Second

// nobody is the number of no member: lines about strangers who say something are counted under it.
const nobody uint16 = 0

// strangers are when something was said to them, or of them, by member.
type strangers struct {
	sync.Mutex
	told map[uint16]time.Time
}

// due reports whether it is time to say it again, and notes that it is said.
func (s *strangers) due(member uint16) bool {
	s.Lock()
	defer s.Unlock()
	if time.Since(s.told[member]) < tellEvery {
		return false
	}
	s.told[member] = time.Now()
	return true
}

// tellStranger tells the node at a member's address, which has shown a certificate of another
// cluster, that it is listed as that member here.
func (n *node) tellStranger(id uint16) {
	if !n.strangers.due(id) {
		return
	}
	ctx, cancel := context.WithTimeout(n.background, member.PingEvery)
	defer cancel()
	what := "it was told that it is not"
	if err := n.port.Tell(ctx, id); err != nil {
		what = err.Error()
	}
	n.log.Errorf("at the address of member %d another cluster's node answers: %s", id, what)
}
