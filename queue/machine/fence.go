//go:build !defect_nofence

package machine

// fenced reports whether outcomes come too late: a new owner has come since the attempts, and only
// its word counts. Attempts that the owner before it did not get recorded in its term are marked as
// maybe attempted, and stay so.
func fenced(session, epoch uint64) bool { return session != epoch }
