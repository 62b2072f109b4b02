//go:build defect_nofence

package queue

// A planted defect: an owner of the past is believed. The fault run must fail with it.
func fenced(session, epoch uint64) bool { return false }
