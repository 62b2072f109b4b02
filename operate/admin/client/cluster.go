package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/postroad/postroad/operate/admin/api"
)

// ClusterStatus returns the JSON of a ClusterStatus.
func (c *Client) ClusterStatus(ctx context.Context) (st json.RawMessage, err error) {
	err = c.Call(ctx, "GET", "/v1/cluster/status", nil, &st)
	return st, err
}

// ClusterChange runs "init", "undrain", "remove", "replace" or "revoke".
func (c *Client) ClusterChange(ctx context.Context, verb string, r api.ClusterRequest) error {
	return c.Call(ctx, "POST", "/v1/cluster/"+verb, r, &struct{}{})
}

// Token returns a new join token for so many nodes; uses 0: any number, ttl 0: for ever.
func (c *Client) Token(
	ctx context.Context, ttl time.Duration, uses int,
) (token string, err error) {
	err = c.Call(ctx, "POST", "/v1/cluster/token",
		api.ClusterRequest{TTL: int64(ttl / time.Second), Uses: uses}, &token)
	return token, err
}

// Tokens lists the join tokens that are good now.
func (c *Client) Tokens(ctx context.Context) (all []api.JoinToken, err error) {
	err = c.Call(ctx, "POST", "/v1/cluster/tokens", api.ClusterRequest{}, &all)
	return all, err
}

// Drain drains a node; nil means that it may be removed.
func (c *Client) Drain(ctx context.Context, node string, progress func(api.DrainProgress)) error {
	_, err := c.Stream(ctx, "POST", "/v1/cluster/drain", api.ClusterRequest{Node: node},
		func(raw json.RawMessage) error {
			var p api.DrainProgress
			if err := json.Unmarshal(raw, &p); err != nil {
				return err
			}
			progress(p)
			return nil
		}, nil)
	return err
}

// Backup writes a backup of the control group to w, with withKeys what opens its secrets, too.
func (c *Client) Backup(ctx context.Context, w io.Writer, withKeys bool) error {
	path := "/v1/cluster/backup"
	if withKeys {
		path += "?keys"
	}
	r, err := c.do(ctx, "GET", path, nil)
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := io.Copy(w, r); err != nil {
		return api.Fail(api.ExitTemporary, fmt.Sprintf("the backup was cut off: %v", err),
			"what came is of no use; try again")
	}
	return nil
}
