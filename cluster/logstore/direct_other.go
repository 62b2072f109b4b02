//go:build !linux

package logstore

import "github.com/cockroachdb/pebble/v2/vfs"

func setDirect(vfs.File, bool) bool { return false }
