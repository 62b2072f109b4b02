//go:build !defect_nosync

package logstore

import "github.com/cockroachdb/pebble/v2/vfs"

func syncData(f vfs.File) error { return f.SyncData() }
