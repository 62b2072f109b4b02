package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Node is a place for one node: a configuration, a data directory, an address. Its process comes
// and goes. Its methods may be called on any goroutine.
type Node struct {
	Number    int        // from 1; also the last octet of Host
	Name      string     // "n1"
	Host      netip.Addr // of its own: all that it dials comes from here
	SMTP      string     // where it takes mail
	POP3      string     // where mailboxes are read, if they are
	Admin     string     // where it answers /readyz
	Listen    string     // its cluster port
	Advertise string     // the proxy before it
	Dir       string     // holds all that is below
	Config    string
	Data      string
	Events    string // outside of the data, so that they outlive a wiped disk
	FaultFile string // see Inject

	mu struct {
		sync.Mutex
		program string
		p       *process
		paused  bool
		retired bool
	}
}

// ErrEnded says that a node's process ended by itself.
var ErrEnded = errors.New("the process has ended")

// Start runs the node's process. It is not ready yet.
func (n *Node) Start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.p != nil && n.mu.p.running() {
		return fmt.Errorf("%s is running", n.Name)
	}
	p, err := startProcess(n.mu.program, filepath.Join(n.Dir, "log"),
		[]string{"POSTROAD_FAULT_FILE=" + n.FaultFile}, "serve", "--config", n.Config)
	if err != nil {
		return err
	}
	n.mu.p, n.mu.paused = p, false
	return nil
}

// AwaitReady waits until /readyz answers 200. It gives up when the process or ctx ends.
func (n *Node) AwaitReady(ctx context.Context) error {
	for {
		why, ok := n.Ready(ctx)
		if ok {
			return nil
		}
		select {
		case <-n.Gone():
			return fmt.Errorf("%s: %w before it was ready:\n%s", n.Name, ErrEnded, n.Log())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready (%s): %w\n%s", n.Name, why, ctx.Err(), n.Log())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Ready asks /readyz once; why is what it says when it is not 200.
func (n *Node) Ready(ctx context.Context) (why string, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.Admin+"/readyz", nil)
	if err != nil {
		return err.Error(), false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error(), false
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	return strings.TrimSpace(string(b)), resp.StatusCode == http.StatusOK
}

// Gone is closed when the node has no process.
func (n *Node) Gone() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.p == nil {
		c := make(chan struct{})
		close(c)
		return c
	}
	return n.mu.p.gone
}

// Up reports whether the node has a process that runs and is not paused.
func (n *Node) Up() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.p != nil && n.mu.p.running() && !n.mu.paused
}

// PID returns the number of the node's process, 0 without one.
func (n *Node) PID() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.p == nil {
		return 0
	}
	return n.mu.p.cmd.Process.Pid
}

// Kill ends the node at once, as a crash does, and waits until it is gone.
func (n *Node) Kill() { n.end(syscall.SIGKILL) }

// Terminate ends the node in good order (SIGTERM) and waits until it is gone; an error says how it
// ended instead.
func (n *Node) Terminate() error {
	p := n.end(syscall.SIGTERM)
	if p == nil || p.cmd.ProcessState.Success() {
		return nil
	}
	return fmt.Errorf("%s ended with %v:\n%s", n.Name, p.cmd.ProcessState, p.log.last(4<<10))
}

func (n *Node) end(sig syscall.Signal) *process {
	n.mu.Lock()
	p := n.mu.p
	n.mu.paused = false
	n.mu.Unlock()
	if p == nil {
		return nil
	}
	p.signal(sig)
	if sig != syscall.SIGKILL {
		p.signal(syscall.SIGCONT) // a paused process hears nothing else
	}
	<-p.gone
	return p
}

// Pause stops the node's process where it is (SIGSTOP); Resume lets it go on.
func (n *Node) Pause() { n.pause(true, syscall.SIGSTOP) }

// Resume ends a pause.
func (n *Node) Resume() { n.pause(false, syscall.SIGCONT) }

func (n *Node) pause(paused bool, sig syscall.Signal) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.p != nil && n.mu.p.running() {
		n.mu.paused = paused
		n.mu.p.signal(sig)
	}
}

// Wipe removes the data of a node that does not run, as a lost disk does.
func (n *Node) Wipe() error {
	if n.Up() {
		return fmt.Errorf("%s is running", n.Name)
	}
	return os.RemoveAll(n.Data)
}

// Retire says that the node will not come back.
func (n *Node) Retire() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.retired = true
}

// Retired reports whether the node is out of the cluster for good.
func (n *Node) Retired() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.retired
}

// Log returns the end of what the node wrote.
func (n *Node) Log() string { return n.lastLog(4 << 10) }

// lastLog returns at most so many octets of it.
func (n *Node) lastLog(octets int) string {
	n.mu.Lock()
	p := n.mu.p
	n.mu.Unlock()
	if p == nil {
		return ""
	}
	return p.log.last(octets)
}

// CommandError is a command that ended with another status than 0.
type CommandError struct {
	Command string
	Status  int
	Stderr  string
}

func (e *CommandError) Error() string {
	return fmt.Sprintf("postroad %s: exit status %d: %s", e.Command, e.Status,
		strings.TrimSpace(e.Stderr))
}

// Run runs a command of the program against the node and returns its standard output. A status
// other than 0 is a *CommandError.
func (n *Node) Run(ctx context.Context, args ...string) (string, error) {
	var out, errb bytes.Buffer
	cmd := exec.CommandContext(ctx, n.programNow(), append(args, "--config", n.Config)...)
	cmd.Stdout, cmd.Stderr = &out, &errb
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return out.String(), &CommandError{strings.Join(args, " "), exit.ExitCode(), errb.String()}
	}
	return out.String(), err
}
