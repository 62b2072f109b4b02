// Package e2e tries the finished program as its users do: the real binary, real sockets, real DNS
// packets, real disks and other people's servers. Scenarios are numbered files. A scenario whose
// foreign program is absent skips with a clear line, and fails instead when POSTROAD_E2E=require.
// Long runs are the same scenarios with POSTROAD_LONG=1 (docs/evidence.md).
package e2e

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
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// long reports whether the long version of a scenario was asked for.
func long() bool { return os.Getenv("POSTROAD_LONG") != "" }

// need skips the scenario when err is set, or fails it when every peer is required.
func need(t testing.TB, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if os.Getenv("POSTROAD_E2E") == "require" {
		t.Fatalf("POSTROAD_E2E=require: %v", err)
	}
	t.Skipf("skipped: %v", err)
}

// needProgram is need for a program on the PATH.
func needProgram(t testing.TB, name, pkg string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		need(t, fmt.Errorf("%s is not installed (apt-get install %s)", name, pkg))
	}
}

var build struct {
	sync.Mutex
	byTags map[string]string
}

// binary builds the program once per set of build tags and returns its path. POSTROAD_PROGRAM names
// another one to test instead of the one without tags: a scenario that shows what was mended fails
// with the one before.
func binary(t testing.TB, tags string) string {
	t.Helper()
	if path := os.Getenv("POSTROAD_PROGRAM"); path != "" && tags == "" {
		return path
	}
	build.Lock()
	defer build.Unlock()
	if path := build.byTags[tags]; path != "" {
		return path
	}
	path := filepath.Join(buildDir, "postroad-"+tags)
	cmd := exec.Command("go", "build", "-tags", tags, "-o", path, "../cmd/postroad")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building postroad: %v\n%s", err, out)
	}
	if build.byTags == nil {
		build.byTags = map[string]string{}
	}
	build.byTags[tags] = path
	return path
}

var buildDir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "postroad-e2e-")
	if err != nil {
		panic(err)
	}
	buildDir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// node is one real process with a configuration of its own.
type node struct {
	t      testing.TB
	Dir    string
	Relay  string // addresses of its listeners
	Submit string
	Admin  string
	Config string

	program string
	under   []string
	cmd     *exec.Cmd
	done    chan struct{}
	stderr  bytes.Buffer
}

// nodeOptions are what scenarios vary.
type nodeOptions struct {
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

// newNode writes a configuration; start runs it. The data lie on the file system of the repository,
// never on tmpfs.
func newNode(t testing.TB, o nodeOptions) *node {
	t.Helper()
	dir, err := os.MkdirTemp(scratch(t), "node-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	n := &node{t: t, Dir: dir, program: binary(t, o.Tags), under: o.Under, Config: filepath.Join(dir, "postroad.toml")}
	n.Relay, n.Submit, n.Admin = freeAddr(t), freeAddr(t), freeAddr(t)
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

// scratch returns a folder on the repository's file system.
func scratch(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("POSTROAD_SCRATCH")
	if dir == "" {
		dir = filepath.Join(os.TempDir(), "postroad-scratch")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := measure.CheckDisk(dir); err != nil {
		t.Fatalf("%v; POSTROAD_SCRATCH names it", err)
	}
	return dir
}

func freeAddr(t testing.TB) string {
	t.Helper()
	addr, err := mailtest.FreeAddr("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// launch runs the node without waiting until it is ready.
func (n *node) launch() {
	n.t.Helper()
	args := append(append([]string{}, n.under...), n.program, "serve", "--config", n.Config)
	n.cmd = exec.Command(args[0], args[1:]...)
	n.stderr.Reset()
	n.cmd.Stderr = &tail{n: n}
	n.cmd.Env = append(os.Environ(), "TZ=UTC")
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) { cmd.Wait(); close(done) }(n.cmd, n.done)
	n.t.Cleanup(n.kill)
}

// start runs the node and returns when it is ready.
func (n *node) start() {
	n.t.Helper()
	n.launch()
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
		case <-n.done:
			n.t.Fatalf("postroad ended before it was ready:\n%s", n.log())
		case <-ctx.Done():
			n.t.Fatalf("postroad is not ready after 60 s: %v\n%s", err, n.log())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// kill ends the node at once (SIGKILL), as a crash does. It may be called when the node has ended.
func (n *node) kill() { n.signal(syscall.SIGKILL) }

// stop ends the node in good order.
func (n *node) stop() { n.signal(syscall.SIGTERM) }

func (n *node) signal(sig syscall.Signal) {
	if n.cmd == nil {
		return
	}
	for _, pid := range measure.Tree(n.cmd.Process.Pid) { // with what it runs under
		syscall.Kill(pid, sig)
	}
	<-n.done
	n.cmd = nil
}

// PID returns the process ID.
func (n *node) PID() int { return n.cmd.Process.Pid }

// cli runs a postroad command against the node and returns its standard output.
func (n *node) cli(args ...string) string {
	n.t.Helper()
	var out, errb bytes.Buffer
	cmd := exec.Command(n.program, append(args, "--config", n.Config)...)
	cmd.Stdout, cmd.Stderr = &out, &errb
	if err := cmd.Run(); err != nil {
		n.t.Fatalf("postroad %s: %v\n%s%s", strings.Join(args, " "), err, out.String(), errb.String())
	}
	return out.String()
}

// queueEmpty reports whether no message is in the queue.
func (n *node) queueEmpty() bool {
	n.t.Helper()
	return strings.HasPrefix(n.cli("queue", "count"), "0 messages")
}

// metric returns the sum of a Prometheus metric over its labels.
func (n *node) metric(name string) float64 {
	n.t.Helper()
	sum, err := metricAt(n.Admin, name)
	if err != nil {
		n.t.Fatal(err)
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
	n *node
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

func (n *node) log() string {
	w := n.cmd.Stderr.(*tail)
	w.Lock()
	defer w.Unlock()
	s := n.stderr.String()
	if len(s) > 8000 {
		s = s[len(s)-8000:]
	}
	return s
}

// eventually waits until cond holds, polling; it fails the test with what() after the limit.
func eventually(t testing.TB, limit time.Duration, cond func() bool, what func() string) {
	t.Helper()
	for end := time.Now().Add(limit); ; {
		if cond() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", limit, what())
		}
		<-time.After(20 * time.Millisecond)
	}
}
