//go:build faults

package main

import (
	"os"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/internal/faults/disk"
)

// faulty lets the disk misbehave as the file says that POSTROAD_FAULT_FILE names.
func faulty(o cluster.Options) cluster.Options {
	if control := os.Getenv("POSTROAD_FAULT_FILE"); control != "" {
		o.FS = disk.New(control)
	}
	return o
}
