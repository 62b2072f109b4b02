package faults

import (
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
)

// Disk is what is wrong with a node's disk. Only a program that was built with the tag `faults`
// obeys: it looks at the file that POSTROAD_FAULT_FILE names, many times a second, and an absent or
// empty file means that nothing is wrong.
type Disk string

// The faults of a disk. Each is the content of the fault file.
const (
	DiskFine Disk = ""
	// reads, writes and syncs of the data wait until the file is emptied
	DiskStalls Disk = "stall"
	// writes that need space fail with ENOSPC, and the file system reports that none is free
	DiskFull   Disk = "full"
	FsyncFails Disk = "fsync"     // the next fsync fails with EIO, once
	PowerFails Disk = "powerloss" // what was not synced is taken back and the process ends, at once
	faultsTag       = "faults"
)

// Inject sets what is wrong with the node's disk. The file is renamed into its place, so that no
// half of it is read.
func (n *Node) Inject(d Disk) error {
	tmp := n.FaultFile + ".new"
	if err := os.WriteFile(tmp, []byte(d), 0o600); err != nil {
		return fmt.Errorf("injecting %q: %w", d, err)
	}
	return os.Rename(tmp, n.FaultFile)
}

// ErrNoInjection says that a program's disk cannot be spoilt.
var ErrNoInjection = errors.New(
	"this program does not look at POSTROAD_FAULT_FILE: build it with -tags " + faultsTag)

// Injects reports whether a program was built with the tag faults and obeys Inject.
func Injects(program string) bool {
	info, err := buildinfo.ReadFile(program)
	return err == nil && slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool {
		return s.Key == "-tags" && slices.Contains(strings.Split(s.Value, ","), faultsTag)
	})
}
