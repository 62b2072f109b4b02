//go:build !linux

package faults

import "errors"

// dropUnsynced knows no way to tell what was not synced.
func (n *Node) dropUnsynced() ([]string, error) { return nil, errors.ErrUnsupported }
