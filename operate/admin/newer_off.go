//go:build !pretend_newer

package admin

// newerVerbs are what a build that pretends to be newer adds to the cluster's verbs (tag
// pretend_newer): none here.
func newerVerbs(Cluster) map[string]clusterVerb { return nil }
