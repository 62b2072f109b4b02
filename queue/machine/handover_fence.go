//go:build !defect_latecopy

package machine

// tooLate reports whether a copy is of a hand-over that has ended. It may have been on its way for
// long: the message stayed where it was then, or is delivered.
func tooLate(serial, over uint64) bool { return serial <= over }
