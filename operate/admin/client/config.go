package client

import (
	"context"

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
