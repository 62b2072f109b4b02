package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/postroad/postroad/internal/clock"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/operate/admin/client"
)

// Status is what `postroad cluster status --json` says, as far as it is needed here.
type Status struct {
	Old      string   `json:"old"`
	Members  []Member `json:"members"`
	Groups   []Group  `json:"groups"`
	Survives int      `json:"survives"`
	Problems []string `json:"problems"`
}

// Member is one node of a Status.
type Member struct {
	Name      string `json:"name"`
	State     string `json:"state"`
	Reachable bool   `json:"reachable"`
	Ready     string `json:"ready"`
}

// Group is one row of a Status.
type Group struct {
	ID        uint64   `json:"id"`
	Kind      string   `json:"kind"`
	Home      string   `json:"home"`
	Leader    string   `json:"leader"`
	State     string   `json:"state"`
	Term      uint64   `json:"term"`
	Voters    []string `json:"voters"`
	Nonvoters []string `json:"nonvoters"`
	Messages  int64    `json:"messages"`
	Shard     *int     `json:"shard"`
	Moves     []Move   `json:"moves"`
}

// controlLeader names the node that leads the control group, "" if none is known to.
func (s *Status) controlLeader() string {
	for _, g := range s.Groups {
		if g.Kind == "control" {
			return g.Leader
		}
	}
	return ""
}

// Move is what a Group has still to get or to lose.
type Move struct {
	Node   string `json:"node"`
	Phase  string `json:"phase"`
	Octets int64  `json:"octets"`
	Of     int64  `json:"of"`
	Behind uint64 `json:"behind"`
}

// Status asks one living node after another for the cluster's state.
func (c *Cluster) Status(ctx context.Context) (*Status, error) {
	err := errors.New("no node is up")
	for _, n := range c.Live() {
		var s *Status
		if s, err = n.status(ctx); err == nil {
			return s, nil
		}
	}
	return nil, fmt.Errorf("asking for the cluster's state: %w", err)
}

// status is the cluster's state as one node sees it. It is asked for as the command does that, but
// not by a process of its own, which costs a hundred times as much: whoever waits asks often.
func (n *Node) status(ctx context.Context) (*Status, error) {
	c := client.New(filepath.Join(n.Data, config.SocketName), "")
	defer c.Close()
	raw, err := c.ClusterStatus(ctx)
	if err != nil {
		return nil, err
	}
	s := new(Status)
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, err
	}
	if s.Old != "" {
		return nil, errors.New("members and groups may be others by now: " + s.Old)
	}
	return s, nil
}

// unfinished says what keeps a cluster from being whole: every node a member, and every group kept
// by as many of them as it should be, those that are to go, too. "" means that it is whole.
func (s *Status) unfinished(names []string, replicas int) string {
	for _, name := range names {
		i := slices.IndexFunc(s.Members, func(m Member) bool { return m.Name == name })
		if i < 0 || s.Members[i].State != "active" {
			return name + " is not an active member"
		}
		if !slices.ContainsFunc(s.Groups, func(g Group) bool {
			return g.Kind == "queue" && g.Home == name && g.State == "serving"
		}) {
			return name + " has no home group that serves"
		}
	}
	for _, g := range s.Groups {
		if g.Kind == "mailbox" && (g.State != "serving" || len(g.Moves) > 0) {
			return fmt.Sprintf("shard %d is %s, and has the voters %v and on the move %v", *g.Shard,
				g.State, g.Voters, g.Moves)
		}
		few := g.Kind != "control" && len(g.Voters) < replicas
		gone := func(name string) bool { return !slices.Contains(names, name) }
		if g.Leader == "" || few || slices.ContainsFunc(g.Voters, gone) {
			return fmt.Sprintf("group %d of %s has the voters %v of %d and the leader %q",
				g.ID, g.Home, g.Voters, replicas, g.Leader)
		}
	}
	return ""
}

// AwaitWhole waits until all nodes are ready and, in a cluster, every group has all its members.
func (c *Cluster) AwaitWhole(ctx context.Context) error {
	if err := c.AwaitReady(ctx); err != nil || c.o.Nodes == 1 && !c.o.Grows {
		return err
	}
	for {
		why := c.unfinished(ctx)
		if why == "" {
			return nil
		}
		if !clock.Pause(ctx, 300*time.Millisecond) { // each question is a roll call of all nodes
			return fmt.Errorf("the cluster is not whole: %s: %w", why, ctx.Err())
		}
	}
}

// unfinished says what keeps the cluster from being whole, "" when nothing does.
func (c *Cluster) unfinished(ctx context.Context) string {
	var names []string
	for _, n := range c.Nodes() {
		names = append(names, n.Name)
	}
	s, err := c.Status(ctx)
	if err != nil {
		return err.Error()
	}
	return s.unfinished(names, min(len(names), max(3, c.o.Replicas)))
}

// Busiest returns the node that leads the queue group with the most messages.
func (c *Cluster) Busiest(ctx context.Context) (*Node, error) {
	s, err := c.Status(ctx)
	if err != nil {
		return nil, err
	}
	var best *Group
	for i := range s.Groups {
		if g := &s.Groups[i]; g.Kind == "queue" && g.Leader != "" &&
			(best == nil || g.Messages > best.Messages) {
			best = g
		}
	}
	if best == nil {
		return nil, errors.New("no queue group has a leader")
	}
	if n := c.Named(best.Leader); n != nil {
		return n, nil
	}
	return nil, fmt.Errorf("group %d is led by %q, which is no node of ours", best.ID, best.Leader)
}
