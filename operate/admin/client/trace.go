package client

import (
	"cmp"
	"context"
	"encoding/json"

	"github.com/postroad/postroad/operate/admin/api"
)

// Trace calls fn with each step (the JSON of a TraceItem) in order of time.
func (c *Client) Trace(
	ctx context.Context, t api.TraceRequest, fn func(json.RawMessage) error,
) (*api.Total, error) {
	total, err := c.Stream(ctx, "POST", "/v1/trace", t, fn, nil)
	return total, cmp.Or(err, total.Incomplete())
}
