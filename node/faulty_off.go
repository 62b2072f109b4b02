//go:build !faults

package node

import "github.com/postroad/postroad/cluster"

// faulty is where test builds (tag faults) let the disk misbehave.
func faulty(o cluster.Options) cluster.Options { return o }
