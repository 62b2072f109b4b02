package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

const (
	image    = "postroad-e2e"
	maxImage = 60 << 20
)

// TestDocker builds the image and runs it, one node alone and three that form a cluster.
func TestDocker(t *testing.T) {
	d := needDocker(t)
	if out, err := d.command("", "../../deploy/container/build", image); err != nil {
		t.Fatal(err)
	} else {
		t.Cleanup(func() { d.run("image", "rm", "-f", out) })
	}
	t.Run("image", func(t *testing.T) {
		about := d.run("image", "inspect", image, "--format", "{{.Size}} {{.Config.User}}")
		size, user, _ := strings.Cut(about, " ")
		if n, err := strconv.Atoi(size); err != nil || n == 0 || n > maxImage {
			t.Errorf("the image has %s octets, of %d that it may have", size, maxImage)
		}
		if user == "" || user == "0" || user == "root" {
			t.Errorf("the node would run as %q", user)
		}
		t.Logf("%s octets, user %s", size, user)
	})
	t.Run("one node", func(t *testing.T) { oneContainer(t, d) })
	t.Run("three nodes", func(t *testing.T) { threeContainers(t, d) })
}

// oneContainer runs a node with as few rights as a container can have: it relays, its queue
// survives SIGKILL, and it stops in order.
func oneContainer(t *testing.T, d *docker) {
	const name = "postroad-e2e-one"
	d.run("network", "create", name)
	t.Cleanup(func() { d.run("network", "rm", name) })
	gateway := d.gateway(name)
	w := kit.NewWorldAt(t, gateway, 1, mailtest.SinkOptions{})
	text, err := os.ReadFile("../../deploy/container/postroad.toml")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "postroad.toml")
	if err := os.WriteFile(file, append(text, surroundings(w, gateway)...), 0o644); err != nil {
		t.Fatal(err)
	}
	d.run("run", "-d", "--name", name, "--network", name, "--read-only", "--cap-drop", "ALL",
		"--security-opt", "no-new-privileges:true",
		"-v", file+":/etc/postroad/postroad.toml:ro", image)
	t.Cleanup(func() { d.run("rm", "-f", "-v", name) })
	address := func() string {
		return d.run("inspect", name, "--format",
			"{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
	}
	var sent []mailtest.Sent
	relay := func(run string) {
		t.Helper()
		d.ready(address()+":8025", name)
		gen := &mailtest.Generator{Seed: 4, Run: run, Domains: w.Domains, MaxSize: 1 << 20}
		report, err := mailtest.Send(t.Context(), mailtest.SendOptions{Addr: address() + ":25",
			Connections: 4, Count: 50, Message: gen.Message})
		if err != nil || report.Messages != 50 {
			t.Fatalf("%v, %v", report, err)
		}
		sent = append(sent, report.Sent...)
		if r := w.Settled(sent, mailtest.Rules{}, time.Minute); !r.OK() {
			t.Fatalf("%v", r)
		}
	}
	relay("first")
	if out := d.run("exec", name, "postroad", "queue", "count"); !strings.HasPrefix(out,
		"0 messages") {
		t.Errorf("queue count: %s", out)
	}
	d.run("kill", name) // SIGKILL
	d.run("start", name)
	relay("second")
	d.run("stop", "--time", "60", name)
	if code := d.run("inspect", name, "--format", "{{.State.ExitCode}}"); code != "0" {
		t.Errorf("exit status %s after docker stop", code)
	}
}

// surroundings is the configuration of a node whose whole world is w, at an address of this
// machine.
func surroundings(w *kit.World, address string) string {
	return fmt.Sprintf(
		"[relay]\nnetworks = [%q]\n[delivery]\nport = %d\nallow_private_destinations = "+
			"true\n[dns]\nservers = [%q]\n",
		address, w.Port(), w.DNS.Addr())
}

// trio is the three nodes of the Compose file.
type trio struct {
	*docker
	dir string // a copy of deploy/compose
	w   *kit.World
}

const project = "postroad-e2e"

func (c *trio) do(args ...string) string {
	c.t.Helper()
	return c.composed(c.dir, append([]string{"-p", project, "-f", "compose.yaml"}, args...)...)
}

// container is the name that Compose gave to the container of node n (1 to 3).
func (c *trio) container(n int) string { return c.do("ps", "-q", fmt.Sprintf("mx%d", n)) }

func (c *trio) relay(n int) string { return fmt.Sprintf("127.0.0.1:250%d", n) }

func (c *trio) admin(n int) string { return fmt.Sprintf("127.0.0.1:802%d", n) }

// newTrio makes the containers of the Compose file as it is, but for the networks and the DNS of
// its configuration.
func newTrio(t *testing.T, d *docker) *trio {
	t.Helper()
	c := &trio{docker: &docker{t: t, env: append(d.env, "POSTROAD_IMAGE="+image),
		compose: d.compose}, dir: t.TempDir()}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join("../../deploy/compose", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(c.dir, "secret"), 0o700); err != nil {
		t.Fatal(err)
	}
	write("secret/token", "a-token-for-tests-only\n")
	write("compose.yaml", read("compose.yaml"))
	write("postroad.toml", "") // mounted; written when the address of the network is known
	c.do("up", "--no-start")
	t.Cleanup(func() { c.do("down", "-v", "-t", "5") })
	gateway := c.gateway(project + "_default")
	c.w = kit.NewWorldAt(t, gateway, 5, mailtest.SinkOptions{})
	before, after, ok := strings.Cut(read("postroad.toml"), "[relay]\n")
	_, after, ok2 := strings.Cut(after, "\n\n")
	if !ok || !ok2 {
		t.Fatal("postroad.toml has no table [relay] that ends with an empty line")
	}
	write("postroad.toml", before+surroundings(c.w, gateway)+after)
	c.do("start")
	return c
}

// formed reports whether each node is in the cluster of three that survives the loss of one.
func (c *trio) formed(n int) (said string, ok bool) {
	out, err := c.try("exec", c.container(n), "postroad", "cluster", "status", "--json")
	if err != nil {
		return err.Error(), false
	}
	var status struct {
		Members  []struct{ Name, State, Ready string }
		Survives int
	}
	if err := json.Unmarshal([]byte(out), &status); err != nil {
		return err.Error() + ": " + out, false
	}
	for _, m := range status.Members {
		if m.State != "active" || m.Ready != "ready" {
			return out, false
		}
	}
	return out, len(status.Members) == 3 && status.Survives == 1
}

func (c *trio) waitFormed() {
	c.t.Helper()
	for n := 1; n <= 3; n++ {
		c.ready(c.admin(n), c.container(n))
		var said string
		kit.Eventually(c.t, 90*time.Second, func() (ok bool) { said, ok = c.formed(n); return ok },
			func() string { return fmt.Sprintf("mx%d sees no whole cluster: %s", n, said) })
	}
}

// kill ends containers by SIGKILL and returns when each was gone, by the engine's clock, which is
// ours: the commands take seconds.
func (c *trio) kill(containers ...string) (gone []time.Time) {
	c.t.Helper()
	c.run(append([]string{"kill"}, containers...)...)
	for _, container := range containers {
		c.run("wait", container)
		at, err := time.Parse(time.RFC3339Nano,
			c.run("inspect", container, "--format", "{{.State.FinishedAt}}"))
		if err != nil {
			c.t.Fatal(err)
		}
		gone = append(gone, at)
	}
	return gone
}

// flows waits until the receiving server has had so many more messages.
func (c *trio) flows(messages int, when string) {
	c.t.Helper()
	enough := c.w.Sink.Accepted() + messages
	kit.Eventually(c.t, time.Minute, func() bool { return c.w.Sink.Accepted() >= enough },
		func() string { return "mail does not flow " + when })
}

// explain logs which node delivered each copy.
func (c *trio) explain(findings []mailtest.Finding) {
	names := map[string]string{}
	for n := 1; n <= 3; n++ {
		ip := c.run("inspect", c.container(n), "--format",
			"{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
		names[ip] = fmt.Sprintf("mx%d", n)
	}
	for _, d := range c.w.Sink.Deliveries() {
		for _, f := range findings {
			if d.ID == f.ID && slices.Contains(d.Recipients, f.Recipient) {
				c.t.Logf("%s to %s: by %s (session %d), connected %v, MAIL %v, 250 %v", d.ID,
					f.Recipient, names[d.Remote.Addr().String()], d.Session,
					d.Connected.Format("05.000"), d.Started.Format("05.000"),
					d.Accepted.Format("05.000"))
			}
		}
	}
}

// threeContainers brings up the Compose file: the nodes form a cluster by themselves; the first,
// which began it, is killed under load and comes back; then all are killed at once and come back.
// Mail keeps flowing, and nothing is lost.
func threeContainers(t *testing.T, d *docker) {
	needJoin(t)
	c := newTrio(t, d)
	c.waitFormed()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var reports [3]*mailtest.SendReport
	var senders sync.WaitGroup
	for i := range reports {
		senders.Go(func() {
			gen := &mailtest.Generator{Seed: uint64(i), Run: fmt.Sprintf("trio%d", i),
				Domains: c.w.Domains, MaxSize: 50 << 10}
			var err error
			reports[i], err = mailtest.Send(ctx, mailtest.SendOptions{Addr: c.relay(i + 1),
				Connections: 4, Count: 1 << 30,
				Message: gen.Message, Pipelining: true, Retries: 50, KeepTrying: true})
			if err != nil {
				t.Error(err)
			}
		})
	}
	c.flows(300, "with three nodes")
	victim := c.container(1)
	rules := mailtest.Rules{Kills: c.kill(victim)}
	c.flows(300, "with two nodes")
	c.run("start", victim)
	c.waitFormed()
	c.flows(300, "with three nodes again")
	rules.Kills = append(rules.Kills, c.kill(victim, c.container(2), c.container(3))...)
	c.do("start")
	c.waitFormed()
	c.flows(300, "after all were killed")
	cancel()
	senders.Wait()
	var sent []mailtest.Sent
	for i, r := range reports {
		if r == nil || r.Messages == 0 {
			t.Fatalf("mx%d accepted nothing", i+1)
		}
		t.Logf("mx%d: %v", i+1, r)
		sent = append(sent, r.Sent...)
	}
	r := c.w.Settled(sent, rules, 2*time.Minute)
	t.Logf("kills at %v\n%v", rules.Kills, r)
	if !r.OK() {
		t.Error("the report above must be clean")
		c.explain(r.Duplicated.First)
	}
}
