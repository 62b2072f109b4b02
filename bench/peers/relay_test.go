package peers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/postroad/postroad/bench/measure"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// TestRelays has each adapter relay some mail, with all of its processes in a group, and to
// destinations of their own where it can.
func TestRelays(t *testing.T) {
	for _, kind := range Kinds() {
		for _, domains := range [][]string{nil, {"a.example", "b.example"}} {
			t.Run(fmt.Sprintf("%s/%d", kind.Name, len(domains)), func(t *testing.T) {
				need(t, kind.Available())
				if kind.Name == "opensmtpd" && domains != nil {
					t.Skip("skipped: OpenSMTPD has one destination for a port of this machine")
				}
				relayOnce(t, kind, domains)
			})
		}
	}
}

func relayOnce(t *testing.T, kind Kind, domains []string) {
	sink, err := mailtest.StartSink(mailtest.SinkOptions{Addr: "127.0.0.2:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	listen, err := mailtest.FreeAddr("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	group := measure.NewGroup()
	defer func() {
		if err := group.Close(); err != nil {
			t.Error(err)
		}
	}()
	in, err := kind.Start(context.Background(),
		Relay{Dir: openDir(t), Listen: listen, Next: sink.Addr(), Domains: domains,
			Under: group.Under()})
	if err != nil {
		t.Fatal(err)
	}
	group.Add(in.PIDs()[0])
	defer in.Stop()
	gen := &mailtest.Generator{Seed: 1, Run: "peer", Domains: []string{"a.example", "b.example"},
		Size: 4096}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	report, err := mailtest.Send(ctx, mailtest.SendOptions{Addr: in.Addr, Connections: 5, Count: 50,
		Message: gen.Message})
	if err != nil || report.Messages != 50 {
		t.Fatalf("%v, %v", report, err)
	}
	if err := sink.Wait(ctx, 50); err != nil {
		t.Fatalf("%d arrived: %v\n%s", sink.Accepted(), err, end(in.Log))
	}
	if r := mailtest.Compare(report.Sent, sink.Deliveries(), mailtest.Rules{}); r.Lost.N > 0 {
		t.Error(r)
	}
	if group.CPU() <= 0 || group.Memory() <= 0 || kind.Version() == "" {
		t.Errorf("%s: CPU %v, memory %d", kind.Version(), group.CPU(), group.Memory())
	}
	if err := kind.Flush(in); err != nil {
		t.Error(err)
	}
	t.Logf("%s: %v CPU, %d processes, %.1f MiB, whole: %v", kind.Version(), group.CPU(),
		len(group.PIDs()), float64(group.Memory())/(1<<20), group.Whole())
}

// openDir is a folder that every user may enter.
func openDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "postroad-peer-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func need(t *testing.T, err error) {
	t.Helper()
	switch {
	case err == nil:
	case os.Getenv("POSTROAD_E2E") == "require":
		t.Fatalf("POSTROAD_E2E=require: %v", err)
	default:
		t.Skipf("skipped: %v", err)
	}
}

func end(file string) string {
	out, _ := exec.Command("tail", "-n", "20", filepath.Clean(file)).Output()
	return string(out)
}
