package admin

import (
	"context"
	"encoding/json"
	"net/url"
)

// List calls fn with each selected message (the JSON of a Message) in order of arrival.
func (c *Client) List(ctx context.Context, f Filter, fn func(json.RawMessage) error) (*Total, error) {
	return c.batches(f, func(f Filter) (*Total, error) { return c.stream(ctx, "POST", "/v1/queue/list", f, fn, nil) })
}

// Count counts what is selected.
func (c *Client) Count(ctx context.Context, f Filter) (*Total, error) {
	return c.batches(f, func(f Filter) (t *Total, err error) {
		err = c.call(ctx, "POST", "/v1/queue/count", f, &t)
		return t, err
	})
}

// Show returns one message (the JSON of a Detail).
func (c *Client) Show(ctx context.Context, id string) (d json.RawMessage, err error) {
	err = c.call(ctx, "GET", "/v1/queue/show?id="+url.QueryEscape(id), nil, &d)
	return d, err
}

// Move runs hold, release, flush, fail or remove; progress hears now and then how many recipients
// were moved.
func (c *Client) Move(ctx context.Context, verb string, f Filter, progress func(int64)) (*Total, error) {
	return c.batches(f, func(f Filter) (*Total, error) { return c.stream(ctx, "POST", "/v1/queue/"+verb, f, nil, progress) })
}

// idsPerRequest keeps requests below the server's bound.
const idsPerRequest = 10000

// batches makes several requests of a long list of IDs, and one total of their totals. When
// something is missing in it, the error says what.
func (c *Client) batches(f Filter, do func(Filter) (*Total, error)) (*Total, error) {
	ids := f.IDs
	var sum *Total
	for first := true; first || len(ids) > 0; first = false {
		n := min(len(ids), idsPerRequest)
		f.IDs, ids = ids[:n], ids[n:]
		t, err := do(f)
		if err != nil {
			return sum, err
		}
		if sum == nil {
			sum = t
			continue
		}
		sum.merge(t)
	}
	return sum, sum.Incomplete()
}
