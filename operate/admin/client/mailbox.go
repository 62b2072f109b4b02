package client

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/url"
	"strconv"

	"github.com/postroad/postroad/operate/admin/api"
)

// Mailboxes calls fn with each mailbox (the JSON of a Mailbox) in the order of their addresses.
func (c *Client) Mailboxes(
	ctx context.Context, fn func(json.RawMessage) error,
) (*api.Total, error) {
	total, err := c.Stream(ctx, "GET", "/v1/mailboxes", nil, fn, nil)
	return total, cmp.Or(err, total.Incomplete())
}

// Mailbox returns the JSON of a Mailbox with its folders.
func (c *Client) Mailbox(ctx context.Context, address string) (box json.RawMessage, err error) {
	err = c.Call(ctx, "GET", "/v1/mailboxes/show?"+url.Values{"address": {address}}.Encode(), nil,
		&box)
	return box, err
}

// ExportMailbox gives all messages of a mailbox to read, as a stream of package mailbox/archive.
// One that was cut off lacks its last line.
func (c *Client) ExportMailbox(ctx context.Context, address string) (io.ReadCloser, error) {
	return c.do(ctx, "GET", "/v1/mailboxes/export?"+url.Values{"address": {address}}.Encode(), nil)
}

// ImportMailbox appends the messages of such a stream, except the first skip. It returns how many
// of them are in the mailbox, or were skipped.
func (c *Client) ImportMailbox(
	ctx context.Context, address string, skip int64, r io.Reader, progress func(int64),
) (done int64, err error) {
	values := url.Values{"address": {address}, "skip": {strconv.FormatInt(skip, 10)}}
	total, err := c.Stream(ctx, "POST", "/v1/mailboxes/import?"+values.Encode(), r,
		func(raw json.RawMessage) error {
			var i api.Imported
			err := json.Unmarshal(raw, &i)
			done = i.Messages
			return err
		}, func(n int64) {
			done = n
			progress(n)
		})
	if total != nil {
		done = total.Messages
	}
	return done, err
}
