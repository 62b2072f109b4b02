package node

import (
	"os"
	"strings"
	"testing"

	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/operate/admin/api"
)

// served has a goroutine in the place of serve.
func served(t *testing.T, n *node) {
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	go func() {
		for {
			select {
			case asked := <-n.reloads:
				asked <- n.reread()
			case <-over:
				return
			}
		}
	}()
}

// TestPushed: a node takes what is pushed, keeps it for its next start, and goes on with what it
// has, and is not ready, when its own file does not agree with what comes.
func TestPushed(t *testing.T) {
	b := startBoxNodes(t, 1)
	n := b.all[0]
	text, err := os.ReadFile(n.file)
	b.ok(err)
	write := func(own string) {
		t.Helper()
		all := strings.Replace(string(text), "data_dir", "own = ["+own+"]\ndata_dir", 1)
		b.ok(os.WriteFile(n.file, []byte(all), 0o600))
	}
	push := func(text string) (api.PushAnswer, error) {
		return n.operator.Push(t.Context(), &api.PushRequest{Name: "p.toml", Text: text})
	}
	served(t, n)
	b.await("all nodes that speak the protocol", func() bool {
		_, err := push("[limits]\nhops = 1")
		return err == nil || !strings.Contains(err.Error(), "needs protocol")
	})
	const first = "[relay]\nnetworks = [\"203.0.113.0/24\"]\n"
	if _, err := push(first); err == nil || !strings.Contains(err.Error(),
		"mx1: "+n.file+":8:1: local.domains: is shared by all nodes") || !n.knowsPeople() {
		t.Fatalf("a node that says where local mail is: %v", err)
	}
	write(`"local"`)
	a, err := push(first)
	if err != nil || a.Version != 1 || a.Nodes[0].Version != 1 {
		t.Fatalf("%+v, %v", a, err)
	}
	if n.cfg().Relay.Networks[0].String() != "203.0.113.0/24" ||
		n.cfg().Local.Domains[0] != "example.net" || n.Ready() != nil || !n.knowsPeople() {
		t.Errorf("in force: %v\n%s", n.Ready(), n.cfg().ShowOrigins())
	}
	kept, err := config.Kept(n.cfg().Node.DataDir)
	if err != nil || kept == nil || kept.Version != 1 || kept.Text != first {
		t.Errorf("kept: %+v, %v", kept, err)
	}
	if c, err := config.Load(n.file); err != nil || len(c.Relay.Networks) != 1 {
		t.Errorf("a start would begin with %v, %v", c, err)
	}

	// The file disagrees from now on, and another version comes past the judgement.
	write("")
	last, _ := n.control.LastPushed()
	last.Version, last.Text = 2, "[relay]\nnetworks = [\"198.51.100.0/24\"]\n"
	b.ok(n.changes.Push(t.Context(), last))
	b.await("a node that is not ready", func() bool { return n.Ready() != nil })
	r := n.report()
	if why := n.Ready().Error(); r.Config != 1 || r.ConfigWhy != why || !strings.Contains(why,
		"version 2 of the pushed configuration cannot be taken: "+n.file+":9:1: local.domains:") {
		t.Errorf("%+v", r)
	}
	if n.cfg().Relay.Networks[0].String() != "203.0.113.0/24" {
		t.Error("it does not go on with what it had")
	}
	if _, _, err := n.askReload(); err == nil || n.Ready() == nil {
		t.Errorf("a reload without a change of the file: %v", err)
	}
	if kept, err := config.Kept(n.cfg().Node.DataDir); err != nil || kept.Version != 1 {
		t.Errorf("kept: %+v, %v", kept, err)
	}
	write(`"local.domains"`)
	if changed, _, err := n.askReload(); err != nil || len(changed) == 0 || n.Ready() != nil ||
		n.report().Config != 2 {
		t.Errorf("after the file was mended: %v, %v, %v", changed, err, n.Ready())
	}
	if !strings.Contains(n.cfg().ShowOrigins(), `["198.51.100.0/24"]  # pushed version 2:2`) {
		t.Error(n.cfg().ShowOrigins())
	}
}

// TestUnknownVersion: what a node keeps may be newer than its rows.
func TestUnknownVersion(t *testing.T) {
	b := startBoxNodes(t, 1)
	n := b.all[0]
	if _, ok := n.unknown(); ok || n.lacksPushed() {
		t.Error("there is a version that nobody pushed")
	}
	s, err := config.ParseShared("p", 7, "[limits]\nhops = 20\n")
	b.ok(err)
	n.pushed.inForce.Store(s)
	if _, ok := n.unknown(); ok || n.lacksPushed() {
		t.Error("a version is to be undone although the rows have none")
	}
}
