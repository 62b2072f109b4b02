package kit

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/postroad/postroad/bench/measure"
	"github.com/postroad/postroad/internal/testkit/confine"
)

// Node is one real process with a configuration of its own.
type Node struct {
	T      testing.TB
	Dir    string
	Relay  string // addresses of its listeners
	Submit string
	Admin  string
	Config string

	Program string
	Under   []string
	Cmd     *exec.Cmd
	Done    chan struct{}
	stderr  bytes.Buffer
}

// NodeOptions are what scenarios vary.
type NodeOptions struct {
	Tags  string   // build tags of the binary
	DNS   string   // host:port of the DNS server
	Port  int      // the port that it delivers to; 0: 25
	Extra string   // further configuration, TOML
	Limit string   // the [limits] table's members
	Node  string   // the [node] table's further members
	Name  string   // default n1
	Relay string   // the [relay] table; default: loopback may relay
	Under []string // a command to run it under, strace for one
}

// NewNode writes a configuration; start runs it. The data lie on the file system of the repository,
// never on tmpfs.
func NewNode(t testing.TB, o NodeOptions) *Node {
	t.Helper()
	dir, err := os.MkdirTemp(Scratch(t), "node-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	n := &Node{T: t, Dir: dir, Program: Binary(t, o.Tags), Under: o.Under,
		Config: filepath.Join(dir, "postroad.toml")}
	n.Relay, n.Submit, n.Admin = FreeAddr(t), FreeAddr(t), FreeAddr(t)
	if o.Relay == "" {
		o.Relay = `networks = ["127.0.0.0/8"]`
	}
	if o.Port == 0 {
		o.Port = 25
	}
	dns := ""
	if o.DNS != "" {
		dns = fmt.Sprintf("[dns]\nservers = [%q]\n", o.DNS)
	}
	text := fmt.Sprintf(`[node]
name = %q
hostname = "mx1.postroad.test"
data_dir = %q
%s
[[listener]]
address = %q
kind = "relay"
[[listener]]
address = %q
kind = "submission"
[relay]
%s
[local]
domains = ["postroad.test"]
[limits]
%s
[delivery]
port = %d
allow_private_destinations = true
%s
[admin]
address = %q
%s
`, cmp.Or(o.Name, "n1"), filepath.Join(dir, "data"), o.Node, n.Relay, n.Submit, o.Relay, o.Limit, o.Port, dns, n.Admin, o.Extra)
	if err := os.WriteFile(n.Config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return n
}

// Launch runs the node without waiting until it is ready.
func (n *Node) Launch() {
	n.T.Helper()
	args := append(append([]string{}, n.Under...), n.Program, "serve", "--config", n.Config)
	n.Cmd = exec.Command(args[0], args[1:]...)
	n.stderr.Reset()
	n.Cmd.Stderr = &tail{n: n}
	n.Cmd.Env = append(os.Environ(), "TZ=UTC")
	if err := confine.Start(n.Cmd); err != nil {
		n.T.Fatal(err)
	}
	n.Done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) { cmd.Wait(); close(done) }(n.Cmd, n.Done)
	n.T.Cleanup(n.Kill)
}

// Start runs the node and returns when it is ready.
func (n *Node) Start() {
	n.T.Helper()
	n.Launch()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	for {
		resp, err := http.Get("http://" + n.Admin + "/readyz")
		if err == nil {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-n.Done:
			n.T.Fatalf("postroad ended before it was ready:\n%s", n.Log())
		case <-ctx.Done():
			n.T.Fatalf("postroad is not ready after 60 s: %v\n%s", err, n.Log())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Kill ends the node at once (SIGKILL), as a crash does. It may be called when the node has ended.
func (n *Node) Kill() { n.signal(syscall.SIGKILL) }

// Stop ends the node in good order.
func (n *Node) Stop() { n.signal(syscall.SIGTERM) }

func (n *Node) signal(sig syscall.Signal) {
	if n.Cmd == nil {
		return
	}
	for _, pid := range measure.Tree(n.Cmd.Process.Pid) { // with what it runs under
		syscall.Kill(pid, sig)
	}
	<-n.Done
	n.Cmd = nil
}

// PID returns the process ID.
func (n *Node) PID() int { return n.Cmd.Process.Pid }

// CLI runs a postroad command against the node and returns its standard output.
func (n *Node) CLI(args ...string) string {
	n.T.Helper()
	var out, errb bytes.Buffer
	cmd := exec.Command(n.Program, append(args, "--config", n.Config)...)
	cmd.Stdout, cmd.Stderr = &out, &errb
	if err := cmd.Run(); err != nil {
		n.T.Fatalf("postroad %s: %v\n%s%s", strings.Join(args, " "), err, out.String(),
			errb.String())
	}
	return out.String()
}

// QueueEmpty reports whether no message is in the queue.
func (n *Node) QueueEmpty() bool {
	n.T.Helper()
	return strings.HasPrefix(n.CLI("queue", "count"), "0 messages")
}

// Metric returns the sum of a Prometheus metric over its labels.
func (n *Node) Metric(name string) float64 {
	n.T.Helper()
	sum, err := metricAt(n.Admin, name)
	if err != nil {
		n.T.Fatal(err)
	}
	return sum
}

// metricAt is metric for a node that answers at an address.
func metricAt(admin, name string) (sum float64, err error) {
	resp, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	for line := range strings.Lines(string(body)) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		var v float64
		fmt.Sscan(rest[strings.LastIndexByte(rest, ' ')+1:], &v)
		sum += v
	}
	return sum, err
}

// tail keeps the newest part of what the node writes, for failure messages.
type tail struct {
	sync.Mutex
	n *Node
}

func (w *tail) Write(p []byte) (int, error) {
	w.Lock()
	defer w.Unlock()
	w.n.stderr.Write(p)
	if w.n.stderr.Len() > 1<<20 {
		w.n.stderr.Next(w.n.stderr.Len() - 1<<19)
	}
	return len(p), nil
}

// Log returns the end of what the node wrote.
func (n *Node) Log() string {
	w := n.Cmd.Stderr.(*tail)
	w.Lock()
	defer w.Unlock()
	s := n.stderr.String()
	if len(s) > 8000 {
		s = s[len(s)-8000:]
	}
	return s
}
