package node

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postroad/postroad/cluster/control"
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
	s, err := config.ParseShared("p", 7, "[limits]\nhops = 40\n")
	b.ok(err)
	n.pushed.inForce.Store(s)
	if _, ok := n.unknown(); ok || n.lacksPushed() {
		t.Error("a version is to be undone although the rows have none")
	}
}

// TestJoinTakesPushed: who joins starts with what was pushed, or is no member.
func TestJoinTakesPushed(t *testing.T) {
	b := startBoxNodes(t, 1)
	n := b.all[0]
	if s := n.standing(); s.Cluster != n.self.Cluster || s.Config != nil {
		t.Fatalf("before anything was pushed: %+v", s)
	}
	b.ok(n.changes.Push(t.Context(), control.Pushed{Version: 1, Text: "[limits]\nhops = 40\n"}))
	b.await("the version", func() bool { return n.standing().Config != nil })
	said := n.standing().Config

	dir := t.TempDir()
	file, data := filepath.Join(dir, "mx2.toml"), filepath.Join(dir, "data")
	write := func(text string) {
		t.Helper()
		b.ok(os.WriteFile(file, []byte("[node]\nname = \"mx2\"\ndata_dir = \""+data+"\"\n"+text),
			0o600))
	}
	write("[limits]\nhops = 50\n")
	err := takeBefore(file, data, said)
	if !api.IsPermanent(err) ||
		!strings.Contains(err.Error(), file+":5:1: limits.hops: is shared") {
		t.Errorf("a file that disagrees: %v", err)
	}
	if s, err := config.Kept(data); s != nil || err != nil {
		t.Errorf("kept: %+v, %v", s, err)
	}
	write("")
	b.ok(takeBefore(file, data, said))
	c, err := config.Load(file)
	if err != nil || c.Limits.Hops != 40 {
		t.Errorf("it starts with %+v, %v", c, err)
	}
	b.ok(takeBefore(file, data, nil)) // it joins another cluster
	if s, err := config.Kept(data); s != nil || err != nil {
		t.Errorf("kept: %+v, %v", s, err)
	}
	if err := takeBefore(file, data, []byte("{")); err == nil {
		t.Error("nonsense is taken")
	}
}

// TestLostPushed: a node whose kept version is gone starts with the one that its rows have, and not
// with the defaults; one whose own file refuses that does not start.
func TestLostPushed(t *testing.T) {
	b := startBoxNodes(t, 1)
	n := b.all[0]
	b.ok(n.recoverPushed()) // nothing was pushed
	b.ok(n.changes.Push(t.Context(), control.Pushed{Version: 1, Text: "[limits]\nhops = 40\n"}))
	b.await("the version", func() bool { return n.standing().Config != nil })
	text, err := os.ReadFile(n.file)
	b.ok(err)
	text = []byte(strings.Replace(string(text), "data_dir", "own = [\"local\"]\ndata_dir", 1))

	b.ok(os.WriteFile(n.file, append(text, "\n[limits]\nhops = 30\n"...), 0o600))
	if err := n.recoverPushed(); !api.IsPermanent(err) ||
		!strings.Contains(err.Error(), "limits.hops: is shared") {
		t.Errorf("with a file that disagrees: %v", err)
	}
	b.ok(os.WriteFile(n.file, text, 0o600))
	b.ok(noteTaken(n.cfg().Node.DataDir))
	b.ok(n.startPushed(t.Context()))
	if _, err := n.accepting(); !errors.Is(err, errLostPushed) {
		t.Errorf("it takes mail without its copy: %v", err)
	}
	b.ok(n.recoverPushed())
	if _, err := n.accepting(); err != nil {
		t.Error(err)
	}
	kept, err := config.Kept(n.cfg().Node.DataDir)
	if err != nil || kept == nil || kept.Version != 1 || n.cfg().Limits.Hops != 40 ||
		n.lacksPushed() {
		t.Errorf("kept %+v, %v; in force: %d hops", kept, err, n.cfg().Limits.Hops)
	}
}
