//go:build pretend_newer

package admin

import (
	"context"
	"encoding/json"
)

// noter is what Options.Cluster is in a build that pretends to be newer.
type noter interface {
	Note(ctx context.Context, text string) (any, error)
}

func newerVerbs(c Cluster) map[string]clusterVerb {
	return map[string]clusterVerb{"note": func(ctx context.Context, r *ClusterRequest) (any, error) { return c.(noter).Note(ctx, r.Node) }}
}

// ClusterNote leaves a note and returns, as JSON, what each member knows of notes.
func (c *Client) ClusterNote(ctx context.Context, text string) (raw json.RawMessage, err error) {
	err = c.call(ctx, "POST", "/v1/cluster/note", ClusterRequest{Node: text}, &raw)
	return raw, err
}
