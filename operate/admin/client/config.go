package client

import (
	"context"
	"fmt"
	"strconv"

	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/operate/admin/api"
)

// Reload has the node, or every node of its cluster, read its configuration file again. When one
// did not, the error says which, and the answer is there all the same.
func (c *Client) Reload(
	ctx context.Context, r api.ReloadRequest,
) (a *api.ReloadAnswer, err error) {
	if err := c.Call(ctx, "POST", "/v1/config/reload", r, &a); err != nil {
		return nil, err
	}
	return a, a.Failed()
}

// Push gives a configuration to all nodes. When one that answers has not taken it, the error says
// which, and the answer is there all the same.
func (c *Client) Push(ctx context.Context, r api.PushRequest) (a *api.PushAnswer, err error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	if err := c.Call(ctx, "POST", "/v1/config/push", r, &a); err != nil {
		return nil, err
	}
	return a, a.Failed()
}

// ConfigHistory returns the versions of the pushed configuration that are kept, the newest first.
func (c *Client) ConfigHistory(ctx context.Context) (h api.ConfigHistory, err error) {
	return h, c.Call(ctx, "GET", "/v1/config/history", nil, &h)
}

// ConfigVersion returns a version of the pushed configuration with its text; 0 is the one in force.
func (c *Client) ConfigVersion(
	ctx context.Context, version uint64,
) (v api.ConfigVersion, err error) {
	return v, c.Call(ctx, "GET", fmt.Sprint("/v1/config/version?version=", version), nil, &v)
}

// ShowConfig returns the configuration in force on the node, with where each value stands.
func (c *Client) ShowConfig(ctx context.Context) (s api.ConfigShown, err error) {
	return s, c.Call(ctx, "GET", "/v1/config/show", nil, &s)
}

// DiffConfig compares what was pushed. Of nothing: the version in force with the one before; of a
// version: that with the one in force; of two: those.
func (c *Client) DiffConfig(ctx context.Context, of []string) ([]config.Change, error) {
	version := func(n uint64) (*config.Shared, uint64, error) {
		v, err := c.ConfigVersion(ctx, n)
		if err != nil || v.Version == 0 { // nothing was pushed yet
			return nil, 0, err
		}
		s, err := config.ParseShared(config.PushedName(v.Version), v.Version, v.Text)
		return s, v.Version, err
	}
	var sides []*config.Shared
	for _, name := range of {
		n, err := strconv.ParseUint(name, 10, 64)
		if err != nil {
			return nil, api.Fail(api.ExitUsage, fmt.Sprintf("%q is no version", name),
				"`postroad config history` lists them")
		}
		s, _, err := version(n)
		if err != nil {
			return nil, err
		}
		sides = append(sides, s)
	}
	if len(sides) == 2 {
		return config.DiffShared(sides[0], sides[1]), nil
	}
	last, number, err := version(0)
	if err != nil {
		return nil, err
	}
	if len(sides) == 0 {
		var before *config.Shared
		if number > 1 {
			if before, _, err = version(number - 1); err != nil {
				return nil, err
			}
		}
		return config.DiffShared(before, last), nil
	}
	return config.DiffShared(sides[0], last), nil
}
