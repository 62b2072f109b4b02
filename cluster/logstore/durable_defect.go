//go:build defect_nosync

package logstore

import "github.com/cockroachdb/pebble/v2/vfs"

// A planted defect: acknowledged before it is on stable storage. The crash test of package cluster
// must fail with it.
func syncData(vfs.File) error { return nil }
