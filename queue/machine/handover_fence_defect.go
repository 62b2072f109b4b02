//go:build defect_latecopy

package machine

// A planted defect: copies of hand-overs that have ended are taken, and end with the next one. The
// runs of two groups must fail with it.
func tooLate(serial, over uint64) bool { return false }
