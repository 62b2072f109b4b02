package confine

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// Start starts a command that the kernel kills when this process ends, however it does, unless the
// command says with which signal. Outside of namespaces that is all that protects the machine: what
// the command starts itself, or a daemon that it becomes, lives on.
func Start(cmd *exec.Cmd) error {
	starter.Do(func() { go startAll() })
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	if cmd.SysProcAttr.Pdeathsig == 0 {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	result := make(chan error)
	starts <- start{cmd, result}
	return <-result
}

type start struct {
	cmd    *exec.Cmd
	result chan error
}

var (
	starter sync.Once
	starts  = make(chan start)
)

// startAll starts commands from one thread that never ends: it is the end of the thread that the
// kernel takes for the parent's (prctl(2), PR_SET_PDEATHSIG).
func startAll() {
	runtime.LockOSThread()
	for s := range starts {
		s.result <- s.cmd.Start()
	}
}
