package client

import (
	"context"
	"encoding/json"

	"github.com/postroad/postroad/operate/admin/api"
)

// Suspensions calls fn with each suspension in force (the JSON of a Suspension), the oldest first.
func (c *Client) Suspensions(ctx context.Context, fn func(json.RawMessage) error) error {
	return c.listing(ctx, "/v1/suspensions", fn)
}

// Suspend runs "suspend" or "resume". When groups have not acknowledged it, the error says which,
// and the answer is there all the same.
func (c *Client) Suspend(
	ctx context.Context, verb string, r api.SuspendRequest,
) (a *api.Acknowledgement, err error) {
	if err := r.Check(verb); err != nil {
		return nil, err
	}
	if err := c.Call(ctx, "POST", "/v1/"+verb, r, &a); err != nil {
		return nil, err
	}
	return a, a.Incomplete()
}
