//go:build !linux

package faults

import "errors"

// DropUnsynced knows no way to tell what was not synced.
func (n *Node) DropUnsynced() ([]string, error) { return nil, errors.ErrUnsupported }
