package measure

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Group is the processes of one system under test. Where the machine has control groups (version 2)
// and we may make them, it is one, and its account of processor time leaves nothing out: Exim's
// deliveries, for one, are processes without a parent, which no tree shows and no parent's account
// has. Elsewhere it is the trees below the processes that Add names. Its methods are not safe for
// use by several goroutines.
type Group struct {
	dir   string // of the control group, "" when there is none
	roots []int
}

// NewGroup makes a group.
func NewGroup() *Group {
	for _, mount := range []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
		if _, err := os.Stat(filepath.Join(mount, "cgroup.procs")); err != nil {
			continue
		}
		dir, err := os.MkdirTemp(mount, "postroad-bench-")
		if err != nil {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, "cpu.stat")); err == nil {
			return &Group{dir: dir}
		}
		os.Remove(dir)
	}
	return &Group{}
}

// Under returns a command that runs another in the group: itself the first word, what it runs to be
// appended.
func (g *Group) Under() []string {
	if g.dir == "" {
		return nil
	}
	return []string{"/bin/sh", "-c", `echo $$ > "$0" && exec "$@"`,
		filepath.Join(g.dir, "cgroup.procs")}
}

// Add names a process whose descendants belong to the group.
func (g *Group) Add(pid int) { g.roots = append(g.roots, pid) }

// PIDs returns the processes that are alive.
func (g *Group) PIDs() (pids []int) {
	if g.dir == "" {
		for _, root := range g.roots {
			pids = append(pids, Tree(root)...)
		}
		return pids
	}
	b, _ := os.ReadFile(filepath.Join(g.dir, "cgroup.procs"))
	for f := range strings.FieldsSeq(string(b)) {
		if pid, err := strconv.Atoi(f); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Whole reports whether nothing is missed: without a control group, processes that have lost their
// parent are.
func (g *Group) Whole() bool { return g.dir != "" }

// CPU returns the processor time that the group has used so far.
func (g *Group) CPU() time.Duration {
	if g.dir == "" {
		return CPU(g.PIDs())
	}
	usec := procNumber(filepath.Join(g.dir, "cpu.stat"), "usage_usec")
	return time.Duration(usec) * time.Microsecond
}

// Written returns the octets that the living processes, and those of their children for which they
// waited, sent to storage.
func (g *Group) Written() (sum int64) {
	for _, pid := range g.PIDs() {
		sum += Written(pid)
	}
	return sum
}

// Memory returns the octets that the group holds now (Pss).
func (g *Group) Memory() int64 { return Memory(g.PIDs()) }

// Close kills what is left of the group and removes it.
func (g *Group) Close() error {
	var left error
	for end := time.Now().Add(10 * time.Second); ; {
		pids := g.PIDs()
		if g.dir != "" && len(pids) == 0 {
			if left = os.Remove(g.dir); left == nil || errors.Is(left, os.ErrNotExist) {
				return nil
			}
		}
		alive := false
		for _, pid := range pids {
			if Alive(pid) {
				alive = true
				syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		if g.dir == "" && !alive {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("processes %v of the system under test do not end: %w", pids,
				errors.Join(left, os.ErrDeadlineExceeded))
		}
		time.Sleep(10 * time.Millisecond)
	}
}
