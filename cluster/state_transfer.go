package cluster

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

// fetch takes over the state of another member, as of an entry or later, and lays it aside. A
// member that is too far behind for the log is asked to, before raft sends it the marker. term is
// that of the entry, 0 if who asks does not say.
func (g *Group) fetch(ctx context.Context, from uint16, index, term uint64) error {
	g.fetching.Lock()
	defer g.fetching.Unlock()
	terms, err := g.compare(ctx, from)
	if err != nil {
		return err
	}
	if g.running.Load() && g.hasEntry(index, term) {
		return nil // the leader repeats itself (installed.go)
	}
	staged, err := g.state.Staged()
	if err != nil {
		return err
	}
	g.fetched.Store(terms)
	if staged > 0 && staged >= index {
		return nil
	}
	g.node.opts.Logf("group %d: taking over the state from member %d, as of entry %d or later",
		g.id, from, index)
	path := fmt.Sprintf("/cluster/state?group=%d", g.id)
	has, err := g.state.Take(index, func(read func(io.Reader) error) error {
		return g.node.Call(ctx, from, http.MethodGet, path, nil, read)
	})
	if err != nil {
		return fmt.Errorf("take over the state of group %d from member %d: %w", g.id, from, err)
	}
	g.node.opts.Logf("group %d: has the state as of entry %d", g.id, has)
	return nil
}
