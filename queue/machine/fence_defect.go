//go:build defect_nofence

package machine

// A planted defect: an owner of the past is believed. The fault run must fail with it.
func fenced(session, epoch uint64) bool { return false }
