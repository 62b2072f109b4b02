package confine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Values of Variable.
const (
	first  = "first"  // this is process 1 of the namespaces
	inside = "inside" // these are the tests
)

// notArranged is the exit status of a first process that has started no tests. They have others.
const notArranged = 125

// Main runs the tests, which run returns the exit status of, in namespaces of their own.
func Main(run func() int) int {
	switch os.Getenv(Variable) {
	case first:
		return confined()
	case "":
		if status, ok := outside(); ok {
			return status
		}
	}
	return run()
}

// outside starts the first process of new namespaces and waits for it; false: that is not
// permitted. The kernel kills the first process when this thread ends, and all others when the
// first one has ended.
func outside() (status int, ok bool) {
	runtime.LockOSThread()
	cmd := again(first)
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET
	if err := cmd.Start(); err != nil {
		return 0, false
	}
	defer signal.Stop(passSignals(cmd))
	status = exitStatus(cmd.Wait())
	return status, status != notArranged
}

// again is this program once more, with the same arguments. It dies with the thread that starts it.
func again(as string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), Variable+"="+as)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// confined is the first process: it arranges the namespaces, starts the tests, and takes leave of
// whatever loses its parent, until the tests have ended.
func confined() int {
	runtime.LockOSThread()
	if err := arrange(); err != nil {
		fmt.Fprintln(os.Stderr, "confine: the tests run without namespaces of their own:", err)
		return notArranged
	}
	cmd := again(inside)
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "confine:", err)
		return 1
	}
	passSignals(cmd)
	for {
		var ended syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ended, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			fmt.Fprintln(os.Stderr, "confine: waiting:", err)
			return 1
		case pid == cmd.Process.Pid && ended.Signaled():
			return 128 + int(ended.Signal())
		case pid == cmd.Process.Pid:
			return ended.ExitStatus()
		}
	}
}

// passSignals hands on that go test asks for the stacks of a test that has run for too long
// (SIGQUIT), or an operator for the end. It does so until signal.Stop of what it returns.
func passSignals(cmd *exec.Cmd) chan os.Signal {
	pass := make(chan os.Signal, 8)
	signal.Notify(pass, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM)
	go func() {
		for s := range pass {
			cmd.Process.Signal(s)
		}
	}()
	return pass
}

// arrange shows the new processes in /proc and brings loopback up. No mount of ours is seen
// outside.
func arrange() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	return nil
}

func exitStatus(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case !errors.As(err, &exit):
		fmt.Fprintln(os.Stderr, "confine:", err)
		return 1
	case exit.ExitCode() < 0: // by a signal
		return 1
	}
	return exit.ExitCode()
}
