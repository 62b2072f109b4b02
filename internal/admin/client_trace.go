package admin

import (
	"cmp"
	"context"
	"encoding/json"
)

// Trace calls fn with each step (the JSON of a TraceItem) in order of time.
func (c *Client) Trace(ctx context.Context, t TraceRequest, fn func(json.RawMessage) error) (*Total, error) {
	total, err := c.stream(ctx, "POST", "/v1/trace", t, fn, nil)
	return total, cmp.Or(err, total.Incomplete())
}
