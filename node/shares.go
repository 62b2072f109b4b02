package node

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/delivery/share"
)

// Cluster-wide limits: the owner of each queue group has a share of them, which the leader of the
// control group grants.

func (n *node) newGrantor() *share.Grantor {
	group := n.store.Group(cluster.ControlGroup)
	return share.NewGrantor(share.GrantorOptions{
		Leading: func() uint64 {
			if term := group.Leading(); group.Holds(term) {
				return term
			}
			return 0
		},
		Groups: n.queueGroupIDs,
		Heard:  func() map[uint16]time.Time { return n.detector.Answered() },
		Members: func() (ids []uint16) {
			for _, m := range n.control.Members() {
				ids = append(ids, m.ID)
			}
			return ids
		},
	})
}

// newShares is a queue group's part for one term. The only group there is has the whole of each
// limit.
func (n *node) newShares(group, term uint64) *share.Holder {
	return share.NewHolder(share.HolderOptions{
		Group: group, Epoch: term, Ask: n.askShares, Logf: n.log.Logf, Present: &n.holders,
		Groups:  func() int { return len(n.queueGroupIDs()) },
		Grantor: n.store.Group(cluster.ControlGroup).Reign,
	})
}

func (n *node) queueGroupIDs() (ids []uint64) {
	for _, g := range n.control.Groups() {
		if g.Kind == control.KindQueue {
			ids = append(ids, g.ID)
		}
	}
	return ids
}

// askShares takes a request to whoever leads the control group.
func (n *node) askShares(ctx context.Context, r share.Request) (g share.Grant, err error) {
	leader, ok := n.store.Group(cluster.ControlGroup).Leader()
	switch {
	case !ok:
		return g, share.ErrNotGrantor
	case leader == n.self.Member:
		r.Node = leader
		return n.grant(ctx, r)
	}
	err = n.store.Ask(ctx, leader, http.MethodPost, "/node/shares", r, &g)
	return g, err
}

// grant answers a request at this node, and has those asked in whom there is doubt since.
func (n *node) grant(ctx context.Context, r share.Request) (share.Grant, error) {
	g, err := n.grantor.Ask(ctx, r)
	n.inquiry.wake()
	return g, err
}

func (n *node) serveShares(w http.ResponseWriter, r *http.Request) {
	var q share.Request
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 8<<20)).Decode(&q); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if peer, ok := wire.Peer(r.Context()); ok {
		q.Node = peer.Member
	}
	g, err := n.grant(r.Context(), q)
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	json.NewEncoder(w).Encode(g)
}
