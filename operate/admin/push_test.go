package admin

import (
	"context"
	"strings"
	"testing"

	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/operate/admin/api"
)

type configs struct{ asked []api.PushRequest }

func (c *configs) Push(_ context.Context, r *api.PushRequest) (api.PushAnswer, error) {
	c.asked = append(c.asked, *r)
	if r.Rollback == 9 {
		return api.PushAnswer{}, api.Fail(api.ExitData, "there is no version 9", "")
	}
	return api.PushAnswer{Version: 2, Nodes: []api.ConfigNode{{Node: "mx1", Version: 2}}}, nil
}

func (c *configs) ConfigHistory(context.Context) []api.ConfigVersion {
	return []api.ConfigVersion{{Version: 2, Note: "n", InForce: []string{"mx1"}}}
}

func (c *configs) ConfigVersion(version uint64) (api.ConfigVersion, error) {
	return api.ConfigVersion{Version: version, Text: "[retry]\n"}, nil
}

// TestPushOverHTTP: requests and answers come through, and what cannot be meant does not.
func TestPushOverHTTP(t *testing.T) {
	c := &configs{}
	n := start(t, func(o *Options) {
		o.Configs, o.ShowConfig = c, func() string { return "[node]\n" }
	})
	seen := uint64(1)
	want := api.PushRequest{Name: "f", Text: "[retry]\n# <\n", Seen: &seen, Who: "w", Note: "n"}
	a, err := n.client.Push(t.Context(), want)
	if err != nil || a.Version != 2 || len(c.asked) != 1 || *c.asked[0].Seen != 1 ||
		c.asked[0].Text != want.Text {
		t.Errorf("%+v, %v; asked %+v", a, err, c.asked)
	}
	large := api.PushRequest{Name: "f", Text: strings.Repeat("<", config.MaxShared-1) + "\n"}
	if _, err := n.client.Push(t.Context(), large); err != nil || len(c.asked) != 2 {
		t.Errorf("as large as may be: %v", err)
	}
	for _, bad := range []api.PushRequest{{}, {Text: "x", Rollback: 1}, {Text: "x", Note: "a\nb"},
		{Text: "x", Note: strings.Repeat("x", 201)}, {Text: "x", Who: strings.Repeat("x", 129)}} {
		if _, err := n.client.Push(t.Context(), bad); err == nil || len(c.asked) != 2 {
			t.Errorf("%+.60v: %v", bad, err)
		}
	}
	_, err = n.client.Push(t.Context(), api.PushRequest{Rollback: 9})
	if exit(t, err) != api.ExitData {
		t.Errorf("a rollback to nothing: %v", err)
	}
	h, err := n.client.ConfigHistory(t.Context())
	if err != nil || len(h.Versions) != 1 || h.Versions[0].InForce[0] != "mx1" {
		t.Errorf("%+v, %v", h, err)
	}
	v, err := n.client.ConfigVersion(t.Context(), 7)
	if err != nil || v.Version != 7 || v.Text != "[retry]\n" {
		t.Errorf("%+v, %v", v, err)
	}
	s, err := n.client.ShowConfig(t.Context())
	if err != nil || s.Node != "mx1" || s.Text != "[node]\n" {
		t.Errorf("%+v, %v", s, err)
	}
}
