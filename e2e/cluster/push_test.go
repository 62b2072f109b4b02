package cluster

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/testkit/faults"
)

// pushed is what is tried with configurations that are pushed.
type pushed struct {
	*kit.Run
	nodes []*faults.Node
	dir   string
	files map[string]string // of the nodes, as they were written first
}

// version is a line of `config history --json`.
type version struct {
	Version uint64   `json:"version"`
	Note    string   `json:"note"`
	InForce []string `json:"in_force"`
}

func (p *pushed) read(n *faults.Node) string {
	p.T.Helper()
	b, err := os.ReadFile(n.Config)
	if err != nil {
		p.T.Fatal(err)
	}
	return string(b)
}

func (p *pushed) write(path, text string) string {
	p.T.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		p.T.Fatal(err)
	}
	return path
}

// shared is a file with a rate, which is to be pushed.
func (p *pushed) shared(rate string) string {
	return p.write(filepath.Join(p.dir, "shared.toml"), policyOf(rate))
}

func policyOf(rate string) string { return "[policy]\nuser_messages = \"" + rate + "\"\n" }

func (p *pushed) history(at *faults.Node) (all []version) {
	p.T.Helper()
	dec := json.NewDecoder(strings.NewReader(p.Command(at, "config", "history", "--json")))
	for dec.More() {
		var v version
		if err := dec.Decode(&v); err != nil {
			p.T.Fatal(err)
		}
		all = append(all, v)
	}
	return all
}

// everywhere waits until all nodes have a version in force, with its rate.
func (p *pushed) everywhere(number uint64, rate string) {
	p.T.Helper()
	var said string
	kit.Eventually(p.T, 20*time.Second, func() bool {
		for _, n := range p.nodes {
			status, out := p.Status(n, "config", "show", "--node", n.Data)
			said = out
			if status != 0 || !strings.Contains(out,
				fmt.Sprintf("= %q  # pushed version %d:2\n", rate, number)) {
				return false
			}
		}
		status, out := p.Status(p.nodes[0], "config", "history")
		said = out
		return status == 0 && len(p.history(p.nodes[0])[0].InForce) == len(p.nodes)
	}, func() string {
		return fmt.Sprintf("version %d is not in force everywhere\n%s\n%s", number, said, p.Logs())
	})
}

// TestPush: a configuration is pushed while a node is down, which has it when it returns. One that
// a node's own file refuses changes nothing anywhere. What was rolled back, and what was pushed
// just before all nodes were killed, is in force after the restart.
func TestPush(t *testing.T) {
	t.Parallel()
	r := kit.StartRun(t, kit.RunOptions{Nodes: 3, Domains: 1, Seed: 20261130, Quiet: true})
	p := &pushed{Run: r, nodes: r.Cluster.Nodes(), dir: t.TempDir(), files: map[string]string{}}
	for _, n := range p.nodes { // their files have [relay]
		p.files[n.Name] = strings.Replace(p.read(n), "[node]\n", "[node]\nown = [\"relay\"]\n", 1)
		p.write(n.Config, p.files[n.Name])
	}
	first, second, third := p.nodes[0], p.nodes[1], p.nodes[2]

	third.Kill()
	out := p.Command(first, "config", "push", p.shared("4/h"), "--note", "while one is down")
	if !strings.Contains(out, "in force on 2 of 3 nodes") ||
		!strings.Contains(out, third.Name+" does not answer") {
		t.Errorf("a push while %s is down: %s", third.Name, out)
	}
	r.Back(third)
	p.everywhere(1, "4/h")

	// One refuses: its own file has such a key, in its last line.
	own := p.files[second.Name] + policyOf("6/h")
	p.write(second.Config, own)
	status, out := p.Status(third, "config", "push", p.shared("3/h"))
	place := fmt.Sprintf("%s: %s:%d:1: policy.user_messages: is shared by all nodes", second.Name,
		second.Config, strings.Count(own, "\n"))
	if status != 65 || !strings.Contains(out, place) ||
		!strings.Contains(out, "nothing was changed on any node") {
		t.Errorf("a push that one refuses: status %d, %s; want %s", status, out, place)
	}
	p.write(second.Config, p.files[second.Name])
	p.everywhere(1, "4/h")

	p.Command(second, "config", "push", p.shared("3/h"))
	p.everywhere(2, "3/h")
	if out := p.Command(third, "config", "diff"); !strings.Contains(out,
		`policy.user_messages: "4/h" -> "3/h"`) {
		t.Errorf("diff: %s", out)
	}
	p.Command(third, "config", "rollback", "1")
	third.Kill()
	r.Back(third)
	p.everywhere(3, "4/h")
	p.Command(first, "config", "push", p.shared("2/h"), "--seen", "3")
	for _, n := range p.nodes {
		n.Kill()
	}
	for _, n := range p.nodes {
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
	}
	r.Within(time.Minute, "all are started again", r.Cluster.AwaitReady)
	p.everywhere(4, "2/h")
	var notes []string
	for _, v := range p.history(second) {
		notes = append(notes, fmt.Sprint(v.Version, " ", v.Note))
	}
	want := []string{"4 ", "3 rollback to version 1", "2 ", "1 while one is down"}
	if !slices.Equal(notes, want) {
		t.Errorf("history: %q", notes)
	}
	p.disagrees(second)
	p.joins()
}

// joins: a node whose file does not agree with what was pushed is no member, until it was mended;
// then it has the version in force from its first moment.
func (p *pushed) joins() {
	n, err := p.Cluster.Add()
	if err != nil {
		p.T.Fatal(err)
	}
	p.MustBeRefused(n, "this node cannot take the configuration of the cluster")
	if out := p.Command(p.nodes[0], "cluster", "status"); strings.Contains(out, n.Name) {
		p.T.Errorf("%s is a member:\n%s", n.Name, out)
	}
	p.write(n.Config, strings.Replace(p.read(n), "[node]\n", "[node]\nown = [\"relay\"]\n", 1))
	if err := n.Start(); err != nil {
		p.T.Fatal(err)
	}
	p.Within(time.Minute, "the fourth is ready", p.Cluster.AwaitReady)
	p.nodes = append(p.nodes, n)
	p.everywhere(4, "2/h")
}

// disagrees: a node that comes back with a file that does not agree with what it keeps is refused.
func (p *pushed) disagrees(n *faults.Node) {
	n.Kill()
	p.write(n.Config, p.files[n.Name]+policyOf("6/h"))
	if err := n.Start(); err != nil {
		p.T.Fatal(err)
	}
	p.MustBeRefused(n, "policy.user_messages: is shared by all nodes")
	p.write(n.Config, p.files[n.Name])
	p.Back(n)
}
