// Package peers starts other people's mail servers, from their distribution's packages, as private
// instances on loopback: the foreign side of end-to-end tests and the other side of comparisons.
// Each instance has a folder and ports of its own and touches nothing of the machine's own mail
// system.
package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/postroad/postroad/bench/measure"
	"github.com/postroad/postroad/internal/testkit/confine"
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
	tree := measure.Tree(i.root)
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
func (i *Instance) PIDs() []int { return measure.Tree(i.root) }

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
		if !measure.Alive(pid) {
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

// startUnder runs a command that starts a daemon: to its end, or, under another command, until
// somebody ends the daemon.
func startUnder(under []string, name string, args ...string) error {
	if len(under) == 0 {
		return run(name, args...)
	}
	cmd := exec.Command(under[0], append(append(under[1:len(under):len(under)], name), args...)...)
	if err := confine.Start(cmd); err != nil {
		return err
	}
	go cmd.Wait()
	return nil
}

// launch starts a program that stays in the foreground, whose output goes to out, if any, and that
// ends with this process. It returns its process ID.
func launch(out io.Writer, name string, args ...string) (pid int, err error) {
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := confine.Start(cmd); err != nil {
		return 0, err
	}
	go cmd.Wait()
	return cmd.Process.Pid, nil
}
