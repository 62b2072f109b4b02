package measure

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Tree returns pid and all its descendants that are alive.
func Tree(pid int) []int {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		if f := statFields(path); f != nil {
			p, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			parent, _ := strconv.Atoi(f[1])
			children[parent] = append(children[parent], p)
		}
	}
	tree := []int{pid}
	for n := 0; n < len(tree); n++ {
		tree = append(tree, children[tree[n]]...)
	}
	return tree
}

// Alive reports whether a process is there and has not ended.
func Alive(pid int) bool {
	f := statFields(fmt.Sprintf("/proc/%d/stat", pid))
	return f != nil && f[0] != "Z"
}

// CPU returns the processor time that the processes and their ended children have used so far.
func CPU(pids []int) time.Duration {
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go runs on
	var sum int64
	for _, pid := range pids {
		if f := statFields(fmt.Sprintf("/proc/%d/stat", pid)); f != nil {
			for _, field := range f[11:15] { // utime, stime, cutime, cstime
				n, _ := strconv.ParseInt(field, 10, 64)
				sum += n
			}
		}
	}
	return time.Duration(sum) * tick
}

// statFields returns the fields of a proc stat file after the command name, beginning with the
// state; nil when it is gone.
func statFields(path string) []string {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	// The command name may hold spaces and parentheses: fields begin after the last one.
	end := bytes.LastIndexByte(b, ')')
	f := strings.Fields(string(b[end+1:]))
	if end < 0 || len(f) < 15 {
		return nil
	}
	return f
}

// Status returns a "kB" member of /proc/PID/status, VmRSS for one, in octets.
func Status(pid int, member string) int64 {
	return procNumber(fmt.Sprintf("/proc/%d/status", pid), member+":") * 1024
}

// Written returns the octets that the process and its ended children sent to storage (write_bytes
// of /proc/PID/io).
func Written(pid int) int64 { return procNumber(fmt.Sprintf("/proc/%d/io", pid), "write_bytes:") }

// Memory returns the octets that the processes hold, where a page that several share counts in
// parts (Pss).
func Memory(pids []int) (sum int64) {
	for _, pid := range pids {
		sum += procNumber(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss:") * 1024
	}
	return sum
}

func procNumber(path, member string) int64 {
	b, _ := os.ReadFile(path)
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == member {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n
		}
	}
	return 0
}
