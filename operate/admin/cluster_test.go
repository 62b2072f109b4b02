package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/operate/admin/api"
)

// fakeCluster notes what it was told.
type fakeCluster struct {
	did    []string
	broken error // what changes and the backup come to
	parts  int   // blocks that the backup gets to
}

func (c *fakeCluster) note(format string, args ...any) error {
	c.did = append(c.did, fmt.Sprintf(format, args...))
	return c.broken
}

func (c *fakeCluster) Status(context.Context) (api.ClusterStatus, error) {
	return api.ClusterStatus{Cluster: "c1", Node: "mx1", Survives: 1,
		Members: []api.MemberStatus{{ID: 1, Name: "mx1", Self: true}}}, nil
}
func (c *fakeCluster) Init(context.Context) error { return c.note("init") }
func (c *fakeCluster) Token(_ context.Context, ttl time.Duration, _ int) (string, error) {
	return "secret", c.note("token %v", ttl)
}
func (c *fakeCluster) Drain(
	_ context.Context, node string, progress func(api.DrainProgress),
) error {
	progress(api.DrainProgress{Node: node, Phase: "waiting for deliveries", Messages: 12, Leads: 1})
	return c.note("drain %s", node)
}
func (c *fakeCluster) Tokens(context.Context) []api.JoinToken { return nil }
func (c *fakeCluster) Revoke(context.Context) error           { return c.note("revoke") }
func (c *fakeCluster) Undrain(_ context.Context, node string) error {
	return c.note("undrain %s", node)
}
func (c *fakeCluster) Remove(_ context.Context, node string, _ bool) error {
	return c.note("remove %s", node)
}
func (c *fakeCluster) Replace(_ context.Context, old, new string) error {
	return c.note("replace %s %s", old, new)
}
func (c *fakeCluster) Backup(_ context.Context, w io.Writer, _ bool) error {
	for range c.parts {
		if _, err := w.Write(make([]byte, 64<<10)); err != nil {
			return err
		}
	}
	return c.note("backup")
}

func TestClusterRequests(t *testing.T) {
	c := &fakeCluster{parts: 20}
	n := start(t, func(o *Options) { o.Cluster = c })
	ctx := t.Context()
	if raw, err := n.client.ClusterStatus(ctx); err != nil ||
		!strings.Contains(string(raw), `"cluster":"c1"`) {
		t.Errorf("status: %s, %v", raw, err)
	}
	if token, err := n.client.Token(ctx, 90*time.Minute, 1); err != nil || token != "secret" {
		t.Errorf("token: %q, %v", token, err)
	}
	var seen []api.DrainProgress
	err := errors.Join(
		n.client.ClusterChange(ctx, "init", api.ClusterRequest{}),
		n.client.Drain(ctx, "mx3", func(p api.DrainProgress) { seen = append(seen, p) }),
		n.client.ClusterChange(ctx, "undrain", api.ClusterRequest{Node: "mx3"}),
		n.client.ClusterChange(ctx, "remove", api.ClusterRequest{Node: "mx3"}),
		n.client.ClusterChange(ctx, "replace", api.ClusterRequest{Node: "mx2", New: "mx4"}),
	)
	if want := []api.DrainProgress{{Node: "mx3", Phase: "waiting for deliveries", Messages: 12,
		Leads: 1}}; err != nil || !reflect.DeepEqual(seen, want) {
		t.Errorf("%v; drain told %+v", err, seen)
	}
	var backup bytes.Buffer
	if err := n.client.Backup(ctx, &backup, false); err != nil || backup.Len() != 20*64<<10 {
		t.Errorf("backup: %d octets, %v", backup.Len(), err)
	}
	if want := []string{"token 1h30m0s", "init", "drain mx3", "undrain mx3", "remove mx3",
		"replace mx2 mx4", "backup"}; !slices.Equal(c.did, want) {
		t.Errorf("the cluster heard %q", c.did)
	}
}

func TestClusterRefusals(t *testing.T) {
	c := &fakeCluster{parts: 20}
	n := start(t, func(o *Options) { o.Cluster = c })
	for _, r := range []struct {
		verb string
		r    api.ClusterRequest
		want int
	}{
		{"remove", api.ClusterRequest{}, api.ExitUsage},
		{"replace", api.ClusterRequest{Node: "mx1"}, api.ExitUsage},
		{"drain", api.ClusterRequest{}, api.ExitUsage},
		{"undrain", api.ClusterRequest{}, api.ExitUsage},
		{"replace", api.ClusterRequest{Node: "mx1", New: "mx1"}, api.ExitData},
		{"token", api.ClusterRequest{TTL: -1}, api.ExitData},
		{"token", api.ClusterRequest{TTL: 1 << 40}, api.ExitData},
	} {
		if err := n.client.ClusterChange(t.Context(), r.verb, r.r); exit(t, err) != r.want ||
			len(c.did) > 0 {
			t.Errorf("%s %+v: %v; did %q", r.verb, r.r, err, c.did)
		}
	}
	c.broken = api.Fail(api.ExitData, "mx9 is no node", "")
	if err := n.client.ClusterChange(t.Context(), "remove",
		api.ClusterRequest{Node: "mx9"}); exit(t, err) != api.ExitData ||
		err.Error() != "mx9 is no node" {
		t.Errorf("remove: %v", err)
	}
	c.broken = errors.New("no quorum")
	if err := n.client.Drain(t.Context(), "mx3", func(api.DrainProgress) {}); exit(t,
		err) != api.ExitTemporary || !strings.Contains(err.Error(), "no quorum") {
		t.Errorf("drain: %v", err)
	}
	// A backup that breaks off after its beginning must not look like a whole one.
	if err := n.client.Backup(t.Context(), io.Discard, false); exit(t, err) != api.ExitTemporary ||
		!strings.Contains(err.Error(), "cut off") {
		t.Errorf("half a backup: %v", err)
	}
	c.parts = 0
	if err := n.client.Backup(t.Context(), io.Discard, false); exit(t, err) != api.ExitTemporary ||
		!strings.Contains(err.Error(), "no quorum") {
		t.Errorf("no backup: %v", err)
	}
	c.broken = nil
	if err := n.client.Backup(t.Context(), io.Discard, false); exit(t, err) != api.ExitTemporary ||
		!strings.Contains(err.Error(), "empty") {
		t.Errorf("an empty backup: %v", err)
	}
	alone := start(t, nil)
	if _, err := alone.client.ClusterStatus(t.Context()); exit(t, err) != api.ExitConfig {
		t.Errorf("a node without a cluster: %v", err)
	}
}

// TestClusterNeedsTheToken: a join token is as good as a node.
func TestClusterNeedsTheToken(t *testing.T) {
	n := start(t, func(o *Options) { o.Cluster = &fakeCluster{} })
	for _, path := range []string{"/v1/cluster/status", "/v1/cluster/backup"} {
		if status, _ := n.request(t, "GET", path, nil); status != 403 {
			t.Errorf("%s: %d", path, status)
		}
	}
	for _, path := range []string{"/v1/cluster/token", "/v1/trace"} {
		if status, _ := n.request(t, "POST", path, nil); status != 403 {
			t.Errorf("%s: %d", path, status)
		}
	}
}
