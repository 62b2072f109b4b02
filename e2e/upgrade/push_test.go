package upgrade

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
)

// TestPushBesideAnOlder: while one member does not know pushed configurations none is pushed, and
// that member is named; when it is upgraded, it has what is pushed then.
func TestPushBesideAnOlder(t *testing.T) {
	t.Parallel()
	r := kit.StartRun(t, kit.RunOptions{
		Nodes: 3, Domains: 1, Seed: 20261130, Quiet: true, Tags: "pretend_older",
	})
	nodes, now := r.Cluster.Nodes(), kit.Binary(t, "")
	for _, n := range nodes { // their files have [relay]
		b, err := os.ReadFile(n.Config)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Replace(string(b), "[node]\n", "[node]\nown = [\"relay\"]\n", 1)
		if err := os.WriteFile(n.Config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	shared := filepath.Join(t.TempDir(), "shared.toml")
	if err := os.WriteFile(shared, []byte("[retry]\nexpire = \"4d\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes[:2] {
		n.Kill()
		n.Use(now)
		r.Back(n)
	}
	old := nodes[2]
	var out string
	kit.Eventually(t, 20*time.Second, func() bool { // each has to say first what it runs now
		var status int
		if status, out = r.Status(nodes[0], "config", "push", shared); status == 0 {
			t.Fatalf("a push with %s of the version before: %s", old.Name, out)
		}
		return strings.Contains(out, "upgrade "+old.Name+" (version") &&
			!strings.Contains(out, nodes[0].Name+" (version") &&
			!strings.Contains(out, nodes[1].Name+" (version")
	}, func() string { return "it does not name the one that is to be upgraded: " + out })
	if out := r.Command(nodes[0], "config", "history", "--json"); out != "" {
		t.Errorf("something was pushed: %s", out)
	}
	old.Kill()
	old.Use(now)
	r.Back(old)
	kit.Eventually(t, 20*time.Second, func() bool {
		var status int
		status, out = r.Status(nodes[0], "config", "push", shared)
		return status == 0 && strings.Contains(out, "in force on 3 of 3 nodes")
	}, func() string { return "all are upgraded, and still: " + out })
}
