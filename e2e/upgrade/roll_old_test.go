package upgrade

import (
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// TestRollFromOld upgrades three nodes of another program, which POSTROAD_OLD names, to this one,
// one after the other, with mail in each mixture.
func TestRollFromOld(t *testing.T) {
	old := os.Getenv("POSTROAD_OLD")
	if old == "" {
		t.Skip("POSTROAD_OLD names no program to upgrade from")
	}
	sink := kit.StartSmtpSink(t)
	nodes := kit.DirectClusterOf(t, old, 3, kit.SmartHost("127.0.0.1:"+sink.Port), "")
	gen := &mailtest.Generator{Seed: 3, Run: "roll", Domains: []string{"a.example"}, Size: 2048}
	sent := 0
	mail := func() {
		t.Helper()
		for _, n := range nodes {
			kit.Eventually(
				t,
				time.Minute,
				func() bool { return ready(n) },
				func() string { return n.Log() },
			)
			kit.SendFixed(t, n.Relay, gen, sent, 20, 2)
			sent += 20
		}
		kit.Eventually(
			t,
			time.Minute,
			func() bool { return sink.Count.Load() >= int64(sent) },
			func() string { return nodes[0].CLI("cluster", "status") },
		)
	}
	mail()
	for i, n := range nodes {
		n.Stop()
		n.Program = kit.Binary(t, "")
		n.Start()
		mail()
		t.Logf(
			"%d of %d nodes are upgraded, %d messages have come",
			i+1,
			len(nodes),
			sink.Count.Load(),
		)
	}
}

// ready reports whether a node takes mail.
func ready(n *kit.Node) bool {
	resp, err := http.Get("http://" + n.Admin + "/readyz")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
