package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/internal/admin"
)

// This file is what members ask each other beside raft's messages and the operator's questions: who is there, and how it is.

// report is how a member says it is.
type report struct {
	Version string        `json:"version"`
	Ready   string        `json:"ready"` // "" : it takes mail; else why not
	Groups  []groupReport `json:"groups"`
}

// groupReport is a group as one of its members sees it.
type groupReport struct {
	cluster.Status
	Messages  uint64 `json:"messages"`  // in the queue, as far as this member has applied
	Suspended uint64 `json:"suspended"` // the version of the suspensions that it has acknowledged
}

func (n *node) peerRoutes(m *http.ServeMux) {
	m.HandleFunc("GET /node/report", func(w http.ResponseWriter, r *http.Request) { json.NewEncoder(w).Encode(n.report()) })
	m.HandleFunc("POST /node/hello", n.serveHello)
	m.HandleFunc("POST /node/shares", n.serveShares)
	n.suspendRoutes(m)
}

func (n *node) report() report {
	r := report{Version: version}
	if err := n.Ready(); err != nil {
		r.Ready = err.Error()
	}
	r.Groups = append(r.Groups, groupReport{Status: n.store.Group(cluster.ControlGroup).Status()})
	for _, h := range n.queues.list() {
		left, _, _ := h.queue.Left()
		barred, _ := h.queue.Suspensions()
		r.Groups = append(r.Groups, groupReport{h.group.Status(), left, barred.Version})
	}
	return r
}

// serveHello makes a member that has joined, and runs now, an active one. It cannot do so itself: it has no control state yet.
func (n *node) serveHello(w http.ResponseWriter, r *http.Request) {
	peer, ok := wire.Peer(r.Context())
	if !ok {
		http.Error(w, "who are you?", http.StatusForbidden)
		return
	}
	if err := n.changes.Activate(r.Context(), peer.Member); err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
	}
}

// sayHello tells any member that this one runs.
func (n *node) sayHello(ctx context.Context) error {
	if n.joined == nil {
		return nil
	}
	var all error
	for member := range n.joined.Members {
		if member == n.self.Member {
			continue
		}
		err := n.ask(ctx, member, http.MethodPost, "/node/hello", nil, nil)
		if err == nil {
			return nil
		}
		all = errors.Join(all, err)
	}
	return all
}

// ask makes a request with JSON, both ways, to another member.
func (n *node) ask(ctx context.Context, member uint16, method, path string, body, into any) error {
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
	if err := n.store.Call(ctx, member, method, path, content.Bytes(), read); err != nil {
		return fmt.Errorf("member %d: %w", member, err)
	}
	return nil
}

// reach knows which members answer.
type reach struct {
	mu    sync.Mutex
	heard map[uint16]time.Time // when a member last answered; at first, when it was first seen
	told  map[uint16]bool      // its absence was reported
}

// Times of the questions whether a member is there.
const (
	pingEvery   = 2 * time.Second
	goneAfter   = 7 * time.Second  // without an answer
	missedAfter = 10 * time.Minute // a matter for the operator
)

// watchMembers asks all members, at the same time, again and again.
func (n *node) watchMembers(ctx context.Context) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		var all sync.WaitGroup
		for _, m := range n.control.Members() {
			if m.ID == n.self.Member {
				continue
			}
			all.Go(func() {
				ctx, cancel := context.WithTimeout(ctx, pingEvery)
				defer cancel()
				err := n.ask(ctx, m.ID, http.MethodGet, "/node/report", nil, nil)
				n.heardOf(m.ID, m.Name, err == nil)
			})
		}
		all.Wait()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (n *node) heardOf(member uint16, name string, answered bool) {
	r := &n.reach
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.heard == nil {
		r.heard, r.told = map[uint16]time.Time{}, map[uint16]bool{}
	}
	if answered || r.heard[member].IsZero() {
		r.heard[member] = time.Now()
		if r.told[member] {
			delete(r.told, member)
			n.log.Logf("%s (member %d) is back", name, member)
		}
	}
	if !r.told[member] && time.Since(r.heard[member]) > missedAfter {
		r.told[member] = true
		n.log.Errorf("%s (member %d) has not answered for %v: bring it back, or join a new node and run `postroad cluster replace %s NEW`", name, member, missedAfter, name)
	}
}

// reachable reports whether a member has answered lately.
func (n *node) reachable(member uint16) bool {
	if member == n.self.Member {
		return true
	}
	n.reach.mu.Lock()
	defer n.reach.mu.Unlock()
	heard, known := n.reach.heard[member]
	return !known || time.Since(heard) < goneAfter
}

// missed are the names of the members that have not answered for a long time.
func (n *node) missed() (names []string) {
	n.reach.mu.Lock()
	defer n.reach.mu.Unlock()
	for _, m := range n.control.Members() {
		if n.reach.told[m.ID] {
			names = append(names, m.Name)
		}
	}
	return names
}

// peers are the other members, for the operator's questions.
func (n *node) peers() (all []admin.Peer) {
	for _, m := range n.control.Members() {
		if m.ID != n.self.Member && m.State != "joining" {
			all = append(all, admin.Peer{Node: m.Name, Member: m.ID, HTTP: n.port.Client(), Base: fmt.Sprintf("http://%d", m.ID)})
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
