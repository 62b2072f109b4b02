//go:build !linux

package confine

// Main runs the tests, which run returns the exit status of.
func Main(run func() int) int { return run() }
