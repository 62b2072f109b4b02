//go:build pretend_newer

package client

import (
	"context"
	"encoding/json"

	"github.com/postroad/postroad/operate/admin/api"
)

// ClusterNote leaves a note and returns, as JSON, what each member knows of notes.
func (c *Client) ClusterNote(ctx context.Context, text string) (raw json.RawMessage, err error) {
	err = c.Call(ctx, "POST", "/v1/cluster/note", api.ClusterRequest{Node: text}, &raw)
	return raw, err
}
