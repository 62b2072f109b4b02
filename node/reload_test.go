package node

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestReloadUnderWay reloads the configuration again and again while others read it (with -race
// nobody may touch what a reload writes). What is trusted follows at once, for all who ask: for
// relaying, for log-ins and for the limits of networks. A bad file changes nothing.
func TestReloadUnderWay(t *testing.T) {
	n := startBoxNodes(t, 1).all[0]
	text, err := os.ReadFile(n.file)
	if err != nil {
		t.Fatal(err)
	}
	write := func(more string) {
		t.Helper()
		all := strings.Replace(string(text), "[local]", more+"\n[local]", 1)
		if err := os.WriteFile(n.file, []byte(all), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	client := netip.MustParseAddr("203.0.113.7")
	var readers sync.WaitGroup
	defer readers.Wait()
	over := make(chan struct{})
	defer close(over)
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				n.trusts(client)
				_ = n.listening()
				_ = n.roomFor()
				adminHosts(n.cfg())
				_ = n.Ready()
			}
		})
	}
	for i := range 50 {
		trusted := i%2 == 0
		network := "198.51.100.0/24"
		if trusted {
			network = "203.0.113.0/24"
		}
		write(fmt.Sprintf("[relay]\nnetworks = [%q]\n[limits]\nfree_disk = \"%d%%\"",
			network, 1+i%3))
		if r := n.reload(); r.err != nil || len(r.changed) == 0 || len(r.restart) > 0 {
			t.Fatalf("reload %d: %+v", i, r)
		}
		if n.trusts(client) != trusted {
			t.Fatalf("reload %d: networks are %s, and %v is trusted: %v", i, network, client,
				!trusted)
		}
	}
	before := n.cfg()
	write("[relay]\nnetworks = [\"no network\"]")
	if r := n.reload(); r.err == nil {
		t.Error("a bad file was taken")
	}
	if n.cfg() != before {
		t.Error("a bad file changed the configuration")
	}
	write("[telemetry]\notlp = \"127.0.0.1:4317\"")
	r := n.reload()
	if r.err != nil || !slices.Equal(r.restart, []string{"telemetry.otlp"}) {
		t.Errorf("what waits for a restart: %v, %v", r.restart, r.err)
	}
}
