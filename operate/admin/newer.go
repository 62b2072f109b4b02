//go:build pretend_newer

package admin

import (
	"context"

	"github.com/postroad/postroad/operate/admin/api"
)

// noter is what Options.Cluster is in a build that pretends to be newer.
type noter interface {
	Note(ctx context.Context, text string) (any, error)
}

func newerVerbs(c Cluster) map[string]clusterVerb {
	return map[string]clusterVerb{"note": func(ctx context.Context, r *api.ClusterRequest) (any,
		error) {
		return c.(noter).Note(ctx, r.Node)
	}}
}
