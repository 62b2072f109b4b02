package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/postroad/postroad/bench/measure"
	"github.com/postroad/postroad/internal/testkit/confine"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// nodes are processes of this program that form a cluster, or one that is alone, with nothing
// between them: internal/testkit/faults has a kit for nodes with a network that can be cut, whose
// proxies would be part of what is measured.
type nodes struct {
	all     []*node
	program string
	token   string
}

// node is one process. Its methods are for one goroutine.
type node struct {
	number        int
	dir, config   string
	relay, submit string
	admin, listen string
	cmd           *exec.Cmd
	gone          chan struct{}
	under         []string
	group         *measure.Group
}

// user is who logs in at a submission listener.
const user, password = "bench@load.example", "as long as a password should be"

func startNodes(ctx context.Context, count int, s *setting, group *measure.Group) (*nodes, error) {
	c := &nodes{program: s.program, token: filepath.Join(s.dir, "token")}
	if err := os.WriteFile(c.token, []byte("a token for the bench only\n"), 0o600); err != nil {
		return c, err
	}
	addrs, err := mailtest.FreeAddrs("127.0.0.1", 4*count)
	if err != nil {
		return c, err
	}
	for i := range count {
		n := &node{number: i + 1, dir: filepath.Join(s.dir, fmt.Sprintf("n%d", i+1)),
			under: s.under, group: group}
		n.relay, n.submit, n.admin, n.listen = addrs[4*i], addrs[4*i+1], addrs[4*i+2], addrs[4*i+3]
		n.config = filepath.Join(n.dir, "postroad.toml")
		c.all = append(c.all, n)
	}
	for _, n := range c.all {
		if err := errors.Join(os.Mkdir(n.dir, 0o755),
			os.WriteFile(n.config, []byte(c.configure(n, s)), 0o600)); err != nil {
			return c, err
		}
	}
	if err := c.startAll(ctx); err != nil {
		return c, err
	}
	if s.Auth {
		return c, c.addUser(ctx)
	}
	return c, nil
}

// configure makes a node's configuration: the program's defaults, but for where things are.
func (c *nodes) configure(n *node, s *setting) string {
	var b strings.Builder
	_, port, _ := net.SplitHostPort(s.next)
	fmt.Fprintf(&b, "[node]\nname = \"n%d\"\nhostname = \"n%d.postroad.test\"\ndata_dir = %q\n",
		n.number, n.number, filepath.Join(n.dir, "data"))
	fmt.Fprintf(&b,
		"[[listener]]\naddress = %q\nkind = \"relay\"\n[[listener]]\naddress = %q\nkind = "+
			"\"submission\"\n", n.relay, n.submit)
	fmt.Fprintf(&b,
		"[relay]\nnetworks = [\"127.0.0.0/8\"]\n[local]\ndomains = "+
			"[\"postroad.test\"]\n[admin]\naddress = %q\n", n.admin)
	fmt.Fprintf(&b,
		"[delivery]\nport = %s\nallow_private_destinations = true\n[dns]\nservers = [%q]\n", port,
		s.dns)
	if more := s.Idle + s.connections + 1000; more > 10_000 {
		fmt.Fprintf(&b, "[limits]\nconnections = %d\n", more)
	}
	if s.Backlog > 0 {
		fmt.Fprintf(&b, "[[route]]\ndomain = %q\nsmart_host = \"%s:%s\"\n", deadDomain, deadHost,
			port)
	}
	if len(s.domains) == 0 {
		fmt.Fprintf(&b, "[[route]]\ndomain = \"*\"\nsmart_host = %q\n", s.next)
	}
	if len(c.all) > 1 {
		var join []string
		for _, m := range c.all {
			join = append(join, strconv.Quote(m.listen))
		}
		replicas := 3
		if len(c.all) >= 5 {
			replicas = 5
		}
		fmt.Fprintf(&b, "[cluster]\nlisten = %q\njoin = [%s]\ntoken_file = %q\nreplicas = %d\n",
			n.listen, strings.Join(join, ", "), c.token, replicas)
	}
	if s.Retry {
		b.WriteString("[retry]\nschedule = [\"1s\"]\n")
	}
	b.WriteString(s.Node)
	return b.String()
}

// startAll starts the nodes side by side and waits until all are ready.
func (c *nodes) startAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	errs := make([]error, len(c.all))
	var starting sync.WaitGroup
	for i, n := range c.all {
		if err := n.start(c.program); err != nil {
			return err
		}
		n.group.Add(n.cmd.Process.Pid)
		starting.Go(func() { errs[i] = n.awaitReady(ctx) })
	}
	starting.Wait()
	return errors.Join(errs...)
}

// start runs the process, which ends with this one.
func (n *node) start(program string) error {
	out, err := os.OpenFile(filepath.Join(n.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	args := append(append([]string{}, n.under...), program, "serve", "--config", n.config)
	n.cmd = exec.Command(args[0], args[1:]...)
	n.cmd.Stderr = out
	if err := confine.Start(n.cmd); err != nil {
		return fmt.Errorf("starting a node: %w", err)
	}
	n.gone = make(chan struct{})
	go func() { n.cmd.Wait(); close(n.gone) }()
	return nil
}

func (n *node) awaitReady(ctx context.Context) error {
	for {
		if n.ready(ctx) {
			return nil
		}
		select {
		case <-n.gone:
			return fmt.Errorf("node %d ended before it was ready:\n%s", n.number, n.tail())
		case <-ctx.Done():
			return fmt.Errorf("node %d is not ready: %w\n%s", n.number, ctx.Err(), n.tail())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (n *node) ready(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.admin+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func (n *node) tail() string {
	b, _ := os.ReadFile(filepath.Join(n.dir, "log"))
	if len(b) > 2000 {
		b = b[len(b)-2000:]
	}
	return string(b)
}

// kill ends the process at once, as a crash does, with what it runs under.
func (n *node) kill() {
	for _, pid := range measure.Tree(n.cmd.Process.Pid) {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	<-n.gone
}

// cli runs a command of the program against a node.
func (c *nodes) cli(ctx context.Context, n *node, input string, args ...string) (string, error) {
	var out, errb bytes.Buffer
	cmd := exec.CommandContext(ctx, c.program, append(args, "--config", n.config)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &errb
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("postroad %s: %w: %s", strings.Join(args, " "), err, errb.String())
	}
	return out.String(), nil
}

func (c *nodes) addUser(ctx context.Context) error {
	_, err := c.cli(ctx, c.all[0], password+"\n", "user", "add", user, "--sender",
		"sender@load.example", "--password-stdin")
	return err
}

func (c *nodes) addrs() (all []string) {
	for _, n := range c.all {
		all = append(all, n.relay)
	}
	return all
}

// submission returns where users submit.
func (c *nodes) submission() (all []string) {
	for _, n := range c.all {
		all = append(all, n.submit)
	}
	return all
}

func (c *nodes) flush(ctx context.Context) error {
	_, err := c.cli(ctx, c.all[0], "", "queue", "flush")
	return err
}

func (c *nodes) members() int { return len(c.all) }

func (c *nodes) stop() {
	for _, n := range c.all {
		if n.cmd != nil {
			n.kill()
		}
	}
}

func (c *nodes) log() string {
	var b strings.Builder
	for _, n := range c.all {
		b.WriteString(n.tail())
	}
	return b.String()
}
