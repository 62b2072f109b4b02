package admin

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/operate/admin/api"
)

// TestReloadEverywhere: one node is told, or all are; who refuses or does not answer is named, with
// another exit status, and the others have done it all the same.
func TestReloadEverywhere(t *testing.T) {
	done := make([]int, 4)
	bad := false
	w := startWorld(t, 4, func(i int, o *Options) {
		o.Reload = func() (changed, restart []string, err error) {
			if bad && i == 2 {
				return nil, nil, errors.New("x.toml:3:1: relay.networks: no network")
			}
			done[i]++
			return []string{"relay.networks"}, []string{"retry.expire"}, nil
		}
		if i == 3 {
			o.Reload = nil // of an older version
		}
	})
	names := func(a *api.ReloadAnswer) (all []string) {
		for _, n := range a.Nodes {
			all = append(all, fmt.Sprintf("%s %v %v %v", n.Node, n.Changed, n.Restart, n.Silent))
		}
		return all
	}

	a, err := w.nodes[1].client.Reload(t.Context(), api.ReloadRequest{})
	alone := []string{"mx2 [relay.networks] [retry.expire] false"}
	if err != nil || !slices.Equal(names(a), alone) {
		t.Fatalf("one node: %v, %v", a, err)
	}

	a, err = w.nodes[1].client.Reload(t.Context(), api.ReloadRequest{All: true})
	if exit(t, err) != api.ExitTemporary || !strings.Contains(err.Error(), "mx4: ") {
		t.Errorf("one of an older version: %v", err)
	}
	want := []string{
		"mx2 [relay.networks] [retry.expire] false", "mx1 [relay.networks] [retry.expire] false",
		"mx3 [relay.networks] [retry.expire] false", "mx4 [] [] true",
	}
	if !slices.Equal(names(a), want) || !slices.Equal(done, []int{1, 2, 1, 0}) {
		t.Errorf("all nodes: %v, done %v", names(a), done)
	}

	bad = true
	a, err = w.nodes[1].client.Reload(t.Context(), api.ReloadRequest{All: true})
	if exit(t, err) != api.ExitConfig || !strings.Contains(err.Error(), "mx3: x.toml:3:1: ") {
		t.Errorf("one with a bad file: %v", err)
	}
	if a == nil || !slices.Equal(done, []int{2, 3, 1, 0}) {
		t.Errorf("the others did not do it: %v", done)
	}
}

// TestReloadOfOneThatHangs: a node that stands still is not waited for without an end.
func TestReloadOfOneThatHangs(t *testing.T) {
	over := make(chan struct{})
	w := startWorld(t, 3, func(i int, o *Options) {
		o.PeerWait = 50 * time.Millisecond
		o.Reload = func() (changed, restart []string, err error) {
			if i == 2 {
				<-over
			}
			return nil, nil, nil
		}
	})
	defer close(over)
	a, err := w.nodes[0].client.Reload(t.Context(), api.ReloadRequest{All: true})
	if exit(t, err) != api.ExitTemporary || a == nil || len(a.Nodes) != 3 || !a.Nodes[2].Silent ||
		!strings.Contains(err.Error(), "mx3: it did not answer within 50ms") {
		t.Errorf("%+v, %v", a, err)
	}
}
