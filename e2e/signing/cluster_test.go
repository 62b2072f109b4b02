package signing

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// TestKeysInACluster: a key that one node makes signs at all of them, also after each was killed. A
// node that is removed takes its knowledge of the cluster's key with it: there is another one soon,
// and the others sign as before.
func TestKeysInACluster(t *testing.T) {
	world := kit.NewWorld(t, 1, mailtest.SinkOptions{Keep: true})
	nodes := kit.DirectClusterOf(t, "", 3, kit.SmartHost(world.Sink.Addr())+
		fmt.Sprintf("[dns]\nservers = [%q]\n", world.DNS.Addr()), "")
	s := &signer{t: t, Node: nodes[0], world: world, records: map[string]string{}}
	lan := make([]string, len(nodes))
	for i, n := range nodes {
		lan[i] = kit.FreeAddr(t)
		f, err := os.OpenFile(n.Config, os.O_APPEND|os.O_WRONLY, 0)
		kit.Need(t, err)
		fmt.Fprintf(f, "[[listener]]\naddress = %q\nkind = \"relay\"\ntenant = \"lan\"\n", lan[i])
		kit.Need(t, f.Close())
		n.CLI("config", "reload")
	}
	kit.Eventually(t, time.Minute, func() bool {
		return !strings.Contains(nodes[0].CLI("cluster", "status"), "new")
	}, nodes[0].Log)
	s.generate("mine.example", "--tenant", "lan")

	sent := 0
	signs := func(when string, at ...int) {
		t.Helper()
		for _, i := range at {
			kit.Eventually(t, time.Minute, func() bool {
				return strings.Contains(nodes[i].CLI("dkim", "list"), "active")
			}, nodes[i].Log)
			kit.SendOne(t, lan[i], "a@mine.example", fmt.Sprintf(
				"From: a@mine.example\r\nSubject: %d\r\n\r\ntext\r\n", sent), "x@"+world.Domains[0])
			sent++
			got := s.arrived(sent)[sent-1]
			if domains, err := s.verify(got.Content); err != nil || len(domains) != 1 {
				t.Errorf("%s, node %d: signed by %v, %v:\n%s", when, i+1, domains, err, got.Content)
			}
		}
	}
	signs("at first", 0, 1, 2)
	for i := range nodes {
		nodes[i].Kill()
		nodes[i].Start()
		signs("after a kill", i)
	}
	nodes[2].Kill()
	nodes[0].CLI("cluster", "remove", "--force", "n3")
	kit.Eventually(t, time.Minute, func() bool {
		return strings.Contains(nodes[0].Log()+nodes[1].Log(), "the cluster has another key")
	}, nodes[0].Log)
	signs("after a removal", 0, 1)
	for i := range nodes[:2] {
		nodes[i].Kill()
		nodes[i].Start()
		signs("after a kill", i)
	}
}
