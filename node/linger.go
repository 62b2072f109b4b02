//go:build !defect_nofence

package node

// linger is where a planted defect has a deposed owner go on.
func linger(*tenure) {}
