package node

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/member"
	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/internal/version"
	"github.com/postroad/postroad/operate/admin"
)

// This file is what members ask each other beside raft's messages and the operator's questions: who
// is there, and how it is.

// report is how a member says it is.
type report struct {
	Version string           `json:"version"`
	Ready   string           `json:"ready"` // "" : it takes mail; else why not
	Groups  []groupReport    `json:"groups"`
	Silent  map[uint16]int64 `json:"silent,omitempty"` // members that do not answer it, and for how many seconds
}

// groupReport is a group as one of its members sees it.
type groupReport struct {
	cluster.Status
	Messages  uint64 `json:"messages"`         // in the queue or the mailboxes, as far as this member has applied
	Suspended uint64 `json:"suspended"`        // the version of the suspensions that it has acknowledged
	Handed    uint64 `json:"handed,omitempty"` // messages that were handed over to other groups
	Waits     string `json:"waits,omitempty"`  // what its owner waits for to hand more over
}

func (n *node) peerRoutes(m *http.ServeMux) {
	m.HandleFunc("GET /node/report", func(w http.ResponseWriter, r *http.Request) { json.NewEncoder(w).Encode(n.report()) })
	m.HandleFunc("POST /node/hello", n.serveHello)
	m.HandleFunc("POST /node/shares", n.serveShares)
	m.HandleFunc("GET /node/holders", func(w http.ResponseWriter, r *http.Request) { json.NewEncoder(w).Encode(n.holders.Tenures()) })
	m.HandleFunc("POST /node/still", n.serveStill)
	m.HandleFunc("GET /node/takers", n.serveTakers)
	n.suspendRoutes(m)
	n.newerRoutes(m)
	n.boxes.routes(m)
}

func (n *node) report() report {
	r := report{Version: version.Version, Silent: n.detector.Silent()}
	if err := n.Ready(); err != nil {
		r.Ready = err.Error()
	}
	r.Groups = append(r.Groups, groupReport{Status: n.store.Group(cluster.ControlGroup).Status()})
	for _, h := range n.queues.List() {
		left, _, _ := h.queue.Left()
		barred, _ := h.queue.Suspensions()
		handed, _ := h.queue.Handing()
		r.Groups = append(r.Groups, groupReport{h.group.Status(), left, barred.Version, handed.Total, h.handing.waiting()})
	}
	for _, s := range n.shards.List() {
		held, _ := s.store.Stats() // rows that cannot be read have ended the node elsewhere
		r.Groups = append(r.Groups, groupReport{Status: s.group.Status(), Messages: held.Messages})
	}
	return r
}

// ask makes a request with JSON, both ways, to another member.
func (n *node) ask(ctx context.Context, member uint16, method, path string, body, into any) error {
	return askMember(ctx, n.store, member, method, path, body, into)
}

func askMember(ctx context.Context, store *cluster.Node, member uint16, method, path string, body, into any) error {
	var content bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&content).Encode(body); err != nil {
			return err
		}
	}
	var read func(io.Reader) error
	if into != nil {
		read = func(r io.Reader) error { return json.NewDecoder(io.LimitReader(r, 8<<20)).Decode(into) }
	}
	if err := store.Call(ctx, member, method, path, &content, read); err != nil {
		return fmt.Errorf("member %d: %w", member, err)
	}
	return nil
}

// newDetector makes what knows which members answer.
func (n *node) newDetector() *member.Detector[report] {
	return member.NewDetector(member.DetectorOptions[report]{
		Self: n.self.Member, Members: n.knownMembers, Alert: n.alert, Unanswered: n.unanswered,
		Silent: func(r *report) map[uint16]int64 { return r.Silent },
		Ask: func(ctx context.Context, id uint16) (*report, error) {
			r := new(report)
			return r, n.ask(ctx, id, http.MethodGet, "/node/report", nil, r)
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

// knownMembers are the members as the control state has them. After a crash that may be in the log
// only until the control group has a leader, and a node that was removed meanwhile gets none: then
// those are asked that the address book has, of whom nothing else is known.
func (n *node) knownMembers() []control.Member {
	all := n.control.Members()
	if len(all) == 0 {
		for _, id := range n.addresses.Members() {
			all = append(all, control.Member{ID: id, State: control.Joining})
		}
	}
	return all
}

// current returns when this node has applied all that the control group had decided when it was
// called.
func (n *node) current(ctx context.Context) error {
	if anyRollCall {
		return nil
	}
	if err := n.store.Group(cluster.ControlGroup).Current(ctx); err != nil {
		return fmt.Errorf("this node cannot know now which nodes, queues, users and suspensions there are: %w", err)
	}
	return nil
}

// peers are the other members, for the operator's questions. Of those that the control state does
// not have yet it may be known where they are.
func (n *node) peers() (all []admin.Peer) {
	known := len(n.control.Members()) > 0
	for _, m := range n.knownMembers() {
		if m.ID != n.self.Member && (!known || m.State != control.Joining) {
			all = append(all, admin.Peer{Node: cmp.Or(m.Name, fmt.Sprintf("member %d", m.ID)), Member: m.ID, HTTP: n.port.Client(), Base: fmt.Sprintf("http://%d", m.ID)})
		}
	}
	return all
}

// queueGroups are all queue groups of the cluster.
func (n *node) queueGroups() (all []admin.QueueGroup) {
	for _, g := range n.control.Groups() {
		if g.Kind == "queue" && g.State != "new" {
			m, _ := n.control.Member(g.Home)
			all = append(all, admin.QueueGroup{ID: g.ID, Home: m.Name})
		}
	}
	return all
}
