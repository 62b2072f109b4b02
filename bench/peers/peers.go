// Package peers starts other people's mail servers, from their distribution's packages, as private instances on loopback: the
// foreign side of end-to-end tests and the other side of comparisons. Each instance has a folder and ports of its own
// and touches nothing of the machine's own mail system.
package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Instance is a running server. Its methods are not safe for use by several goroutines.
type Instance struct {
	Name string
	Addr string // host:port of its SMTP listener
	Dir  string
	Log  string // its log file, "" when it keeps none

	root int // process ID of the process that all others descend from
	stop func() error
}

// Stop ends the server and waits until its processes are gone.
func (i *Instance) Stop() error {
	tree := Tree(i.root)
	err := i.stop()
	for _, pid := range tree {
		if e := waitGone(pid, 10*time.Second); e != nil {
			syscall.Kill(pid, syscall.SIGKILL)
			err = errors.Join(err, e)
		}
	}
	return err
}

// PIDs returns the process IDs of the server, the first being the root.
func (i *Instance) PIDs() []int { return Tree(i.root) }

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

// statFields returns the fields of a proc stat file after the command name, beginning with the state; nil when it is gone.
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

// ProcStatus returns a "kB" member of /proc/PID/status, VmRSS for one, in octets.
func ProcStatus(pid int, member string) int64 {
	return procNumber(fmt.Sprintf("/proc/%d/status", pid), member+":") * 1024
}

// WriteBytes returns the octets that the process sent to storage (write_bytes of /proc/PID/io).
func WriteBytes(pid int) int64 { return procNumber(fmt.Sprintf("/proc/%d/io", pid), "write_bytes:") }

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

// FreePort returns a loopback port that nobody listens on now.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// WaitPort returns when addr accepts connections and greets.
func WaitPort(ctx context.Context, addr string) error {
	for {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			c.SetReadDeadline(time.Now().Add(5 * time.Second))
			_, err = c.Read(make([]byte, 4))
			c.Close()
			if err == nil {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not greet: %w", addr, errors.Join(err, ctx.Err()))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func waitGone(pid int, limit time.Duration) error {
	for end := time.Now().Add(limit); time.Now().Before(end); {
		if f := statFields(fmt.Sprintf("/proc/%d/stat", pid)); f == nil || f[0] == "Z" {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("process %d is still there after %v", pid, limit)
}

func run(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
