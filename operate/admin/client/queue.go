package client

import (
	"context"
	"encoding/json"
	"net/url"

	"github.com/postroad/postroad/operate/admin/api"
)

// List calls fn with each selected message (the JSON of a Message) in order of arrival.
func (c *Client) List(
	ctx context.Context, f api.Filter, fn func(json.RawMessage) error,
) (*api.Total, error) {
	return c.batches(f, func(f api.Filter) (*api.Total, error) {
		return c.Stream(ctx, "POST", "/v1/queue/list", f, fn, nil)
	})
}

// Count counts what is selected.
func (c *Client) Count(ctx context.Context, f api.Filter) (*api.Total, error) {
	return c.batches(f, func(f api.Filter) (t *api.Total, err error) {
		err = c.Call(ctx, "POST", "/v1/queue/count", f, &t)
		return t, err
	})
}

// Show returns one message (the JSON of a Detail).
func (c *Client) Show(ctx context.Context, id string) (d json.RawMessage, err error) {
	err = c.Call(ctx, "GET", "/v1/queue/show?id="+url.QueryEscape(id), nil, &d)
	return d, err
}

// Move runs hold, release, flush, fail or remove; progress hears now and then how many recipients
// were moved.
func (c *Client) Move(
	ctx context.Context, verb string, f api.Filter, progress func(int64),
) (*api.Total, error) {
	return c.batches(f, func(f api.Filter) (*api.Total, error) {
		return c.Stream(ctx, "POST", "/v1/queue/"+verb, f, nil, progress)
	})
}

// IDsPerRequest keeps requests below the server's bound.
const IDsPerRequest = 10000

// batches makes several requests of a long list of IDs, and one total of their totals. When
// something is missing in it, the error says what.
func (c *Client) batches(
	f api.Filter, do func(api.Filter) (*api.Total, error),
) (*api.Total, error) {
	ids := f.IDs
	var sum *api.Total
	for first := true; first || len(ids) > 0; first = false {
		n := min(len(ids), IDsPerRequest)
		f.IDs, ids = ids[:n], ids[n:]
		t, err := do(f)
		if err != nil {
			return sum, err
		}
		if sum == nil {
			sum = t
			continue
		}
		sum.Merge(t)
	}
	return sum, sum.Incomplete()
}
