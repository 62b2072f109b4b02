package node

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/member"
	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/version"
	"github.com/postroad/postroad/node/internal/peer"
	"github.com/postroad/postroad/node/offline"
	"github.com/postroad/postroad/operate/admin"
)

// This file is what members ask each other beside raft's messages and the operator's questions: who
// is there, and how it is.

func (n *node) peerRoutes(m *http.ServeMux) {
	m.HandleFunc("GET "+peer.ReportPath, func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(n.report())
	})
	m.HandleFunc("GET "+member.VouchPath, n.gate.ServeVouch)
	m.HandleFunc("POST "+member.HelloPath, n.locator.ServeHello)
	m.HandleFunc("POST /node/shares", n.serveShares)
	m.HandleFunc("GET /node/holders", func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(n.holders.Tenures())
	})
	m.HandleFunc("POST /node/still", n.serveStill)
	m.HandleFunc("GET "+offline.TakersPath, offline.ServeTakers(n.control))
	n.operator.Routes(m)
	m.Handle("/mailbox/", n.boxes.Handler())
}

func (n *node) report() peer.Report {
	r := peer.Report{Version: version.Version, Silent: n.detector.Silent(), Rows: directory.Rows}
	if err := n.Ready(); err != nil {
		r.Ready = err.Error()
	}
	if s := n.pushed.inForce.Load(); s != nil {
		r.Config = s.Version
	}
	if why := n.pushed.refused.Load(); why != nil {
		r.ConfigWhy = why.Error()
	}
	r.Groups = append(r.Groups, peer.Group{Status: n.store.Group(cluster.ControlGroup).Status()})
	for _, h := range n.queues.List() {
		left, _, _ := h.queue.Left()
		barred, _ := h.queue.Suspensions()
		handed, _ := h.queue.Handing()
		r.Groups = append(r.Groups, peer.Group{
			Status: h.group.Status(), Messages: left, Suspended: barred.Version,
			Handed: handed.Total, Waits: h.handing.waiting(),
		})
	}
	for _, s := range n.shards.List() {
		held, _ := s.store.Stats() // rows that cannot be read have ended the node elsewhere
		r.Groups = append(r.Groups, peer.Group{Status: s.group.Status(), Messages: held.Messages})
	}
	return r
}

// keptByAll returns why the directory's rows may not have what only newer programs keep
// (directory.Editor.Kept): a member runs an older one, or does not say what it runs.
func (n *node) keptByAll() error {
	return keptBy(n.control.Members(), n.self.Member, n.detector.Reports())
}

func keptBy(members []control.Member, self uint16, reports map[uint16]*peer.Report) error {
	var others []string
	for _, m := range members {
		if m.ID == self || m.State == control.Removed || m.State == control.Joining {
			continue
		}
		if r := reports[m.ID]; r == nil || r.Rows < directory.Rows {
			others = append(others, m.Name)
		}
	}
	if len(others) == 0 {
		return nil
	}
	return &directory.Wrong{Why: "that needs a newer program on every node, and an answer of " +
		"each: upgrade, start or remove " + strings.Join(others, ", ") + " first"}
}

// newDetector makes what knows which members answer.
func (n *node) newDetector() *member.Detector[peer.Report] {
	return member.NewDetector(member.DetectorOptions[peer.Report]{
		Self: n.self.Member, Members: n.knownMembers, Alert: n.alert, Unanswered: n.unanswered,
		Silent: func(r *peer.Report) map[uint16]int64 { return r.Silent },
		Ask: func(ctx context.Context, id uint16) (*peer.Report, error) {
			r := new(peer.Report)
			return r, n.store.Ask(ctx, id, http.MethodGet, peer.ReportPath, nil, r)
		},
	})
}

// unanswered looks why a member gave no answer: the cluster may have evicted this node, or its
// address may be another cluster's now.
func (n *node) unanswered(id uint16, err error) {
	var r *wire.Refusal
	if errors.As(err, &r) && errors.Is(r, wire.ErrFinal) {
		n.evicted(fmt.Errorf("member %d says: %s", id, r.Words))
	}
	if errors.Is(err, wire.ErrForeign) {
		n.tellStranger(id)
	}
}

// knownMembers are the members as far as this node knows.
func (n *node) knownMembers() []control.Member { return member.Known(n.control, n.addresses) }

// newLocator makes what tells the members where this node is.
func (n *node) newLocator(group *cluster.Group) *member.Locator {
	return member.NewLocator(member.LocatorOptions{
		Self: n.self, Advertise: n.cfg().Cluster.Advertise, State: n.control, Changes: n.changes,
		Book: n.addresses, Ask: n.store.Ask, Who: n.port.Who, Fresh: group.Fresh,
		Listens: n.listens.Load, Errorf: n.log.Errorf,
	})
}

// current returns when this node has applied all that the control group had decided when it was
// called.
func (n *node) current(ctx context.Context) error {
	if anyRollCall {
		return nil
	}
	if err := n.store.Group(cluster.ControlGroup).Current(ctx); err != nil {
		return fmt.Errorf(
			"this node cannot know now which nodes, queues, users and suspensions there are: %w",
			err)
	}
	return nil
}

// peers are the other members, for the operator's questions. Of those that the control state does
// not have yet it may be known where they are.
func (n *node) peers() (all []admin.Peer) {
	known := len(n.control.Members()) > 0
	for _, m := range n.knownMembers() {
		if m.ID != n.self.Member && (!known || m.State != control.Joining) {
			all = append(all, admin.Peer{Node: cmp.Or(m.Name, fmt.Sprintf("member %d", m.ID)),
				Member: m.ID, HTTP: n.port.Client(), Base: fmt.Sprintf("http://%d", m.ID)})
		}
	}
	return all
}
