package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/hashicorp/raft"

	"github.com/postroad/postroad/internal/clock"
)

// A member's rows may be old: it has just started, or was cut off. Current makes sure
// that it is not, by a read index (Ongaro, "Consensus: Bridging Theory and Practice", 6.4): the
// leader says how far its log is committed and holds its lease after that, so that nothing newer
// was acknowledged by anybody when it was asked; and this member waits until it has applied as
// much.

const (
	// for a leader's answer: one that hangs has a successor soon
	currentTry   = time.Second
	currentAgain = 100 * time.Millisecond // between two questions
	appliedAgain = 2 * time.Millisecond   // between two looks at what this member has applied
)

// Current returns when this member has applied all that the group had committed when it was called.
// It waits for a leader until ctx ends. Its error says what is missing.
func (g *Group) Current(ctx context.Context) error {
	for {
		index, err := g.ReadIndex(ctx)
		if err == nil {
			err = g.applied(ctx, index)
		}
		if err == nil {
			return nil
		}
		if !clock.Pause(ctx, currentAgain) {
			return err
		}
	}
}

// ReadIndex asks the group's leader for an index of its log that is no older than the call:
// everything that was acknowledged before is at or below it.
func (g *Group) ReadIndex(ctx context.Context) (uint64, error) {
	leader, ok := g.Leader()
	switch {
	case !ok:
		return 0, fmt.Errorf("%s has no leader", g)
	case leader == g.node.member:
		return g.committed()
	}
	ctx, cancel := context.WithTimeout(ctx, currentTry)
	defer cancel()
	var index uint64
	err := g.node.Call(
		ctx,
		leader,
		http.MethodGet,
		fmt.Sprintf("/cluster/index?group=%d", g.id),
		nil,
		func(r io.Reader) error {
			text, err := io.ReadAll(io.LimitReader(r, 20))
			if err == nil {
				index, err = strconv.ParseUint(string(text), 10, 64)
			}
			return err
		},
	)
	var answer *Answer
	if errors.As(err, &answer) && answer.Status == http.StatusNotFound {
		return g.heard() // a program before this request leads
	}
	if err != nil {
		return 0, fmt.Errorf(
			"member %d, which leads %s, does not say how far that is: %w",
			leader,
			g,
			err,
		)
	}
	return index, nil
}

// committed is the read index of the leader itself. Its lease is looked at last: nobody else led
// until then.
func (g *Group) committed() (uint64, error) {
	term := g.leading.Load()
	if term == 0 {
		return 0, fmt.Errorf("%s has a new leader, which is not ready yet", g)
	}
	index := g.raft.CommitIndex()
	if !g.Holds(term) {
		return 0, fmt.Errorf("the leader of %s does not hear from a majority of its members", g)
	}
	return index, nil
}

// heard is the index that a leader named last, when it is one that cannot be asked. It may be as
// old as the last words from it.
func (g *Group) heard() (uint64, error) {
	if !g.Fresh() {
		return 0, fmt.Errorf("this node has not caught up with %s", g)
	}
	return g.raft.CommitIndex(), nil
}

// applied waits until the state has everything up to an index.
func (g *Group) applied(ctx context.Context, index uint64) error {
	for !g.has(index) {
		if !clock.Pause(ctx, appliedAgain) {
			return fmt.Errorf(
				"this node is still catching up with %s (at entry %d of %d)",
				g,
				g.AppliedIndex(),
				index,
			)
		}
	}
	return nil
}

// has reports whether the state has everything up to an index. What raft writes for itself, after
// an election for one, changes no state and is in no applied index.
func (g *Group) has(index uint64) bool {
	applied := g.AppliedIndex()
	if applied >= index {
		return true
	}
	first, err := g.log.FirstIndex()
	if err != nil || g.raft.CommitIndex() < index {
		// beyond what this member knows to be committed its log may be another than the leader's
		return false
	}
	for i := max(first, applied+1); first > 0 && i <= index; i++ {
		var l raft.Log
		if err := g.log.GetLog(i, &l); err != nil || l.Type == raft.LogCommand ||
			l.Type == raft.LogConfiguration {
			return false
		}
	}
	return true
}

func (n *Node) serveIndex(w http.ResponseWriter, r *http.Request) {
	g := n.asked(w, r)
	if g == nil {
		return
	}
	index, err := g.committed()
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	io.WriteString(w, strconv.FormatUint(index, 10))
}

// String names the group in words for operators.
func (g *Group) String() string {
	if g.id == ControlGroup {
		return "the control group"
	}
	return fmt.Sprintf("group %d", g.id)
}
