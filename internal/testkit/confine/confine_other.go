//go:build !linux

package confine

import "os/exec"

// Main runs the tests, which run returns the exit status of.
func Main(run func() int) int { return run() }

// Start starts a command.
func Start(cmd *exec.Cmd) error { return cmd.Start() }
