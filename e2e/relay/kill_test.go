package relay

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// TestKilledUnderLoad kills the process again and again while mail flows in and out. Every message
// that got a 250 arrives. A second copy is allowed only where SMTP cannot rule it out: the first
// copy's 250 was written less than 2 s before the kill, or its transaction was under way.
// Twice, with 6 clients and messages of up to 32 KiB. POSTROAD_LONG=1: 50 times, with 20 clients
// and up to 200 KiB.
func TestKilledUnderLoad(t *testing.T) {
	kills := 2
	if kit.Long() {
		kills = 50
	}
	r, sent, times := killUnderLoad(t, "", kills)
	t.Logf("%d messages accepted; kills at %v\n%v", sent, times, r)
	if !r.OK() {
		t.Error("the report above must be clean")
	}
}

// TestKillCheckerSeesLoss runs the same with a planted defect: now and then a message is dropped
// after its 250.
func TestKillCheckerSeesLoss(t *testing.T) {
	r, _, _ := killUnderLoad(t, "defect_dropafter250", 1)
	if r.Lost.N == 0 {
		t.Fatalf("the checker did not see that messages were dropped:\n%v", r)
	}
}

func killUnderLoad(t *testing.T, tags string, kills int) (*mailtest.Report, int, []string) {
	w := kit.NewWorld(t, 5, mailtest.SinkOptions{})
	n := kit.NewNode(t, kit.NodeOptions{Tags: tags, DNS: w.DNS.Addr(), Port: w.Port(),
		Extra: "[shaping.default]\nconnections = 10\n"})
	n.Start()
	const seed = 20261123
	rng := rand.New(rand.NewPCG(seed, uint64(kills)))
	gen := &mailtest.Generator{Seed: seed, Run: "kill", Domains: w.Domains,
		MaxSize: kit.Rounds(32, 200) << 10}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	type outcome struct {
		report *mailtest.SendReport
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		report, err := mailtest.Send(ctx, mailtest.SendOptions{
			Addr: n.Relay, Connections: kit.Rounds(6, 20), Count: 1 << 30, Message: gen.Message,
			Pipelining: true, Retries: 50, KeepTrying: true,
		})
		done <- outcome{report, err}
	}()
	rules := mailtest.Rules{}
	for range kills {
		// The moment of the kill is the experiment, not a wait for anything. Kills are further
		// apart than the two seconds in which a copy is excused, so that most copies would not be.
		<-time.After(time.Duration(2500+rng.IntN(1500)) * time.Millisecond)
		n.Kill()
		// the process is gone, and all its connections are older
		rules.Kills = append(rules.Kills, time.Now())
		n.Start()
	}
	before := w.Sink.Accepted()
	kit.Eventually(t, time.Minute, func() bool { return w.Sink.Accepted() > before+100 },
		func() string { return "mail does not flow after the last kill" })
	cancel()
	got := <-done
	if got.err != nil {
		t.Fatal(got.err)
	}
	limit := 2 * time.Minute
	if tags != "" {
		limit = 10 * time.Second
	}
	var times []string
	for _, k := range rules.Kills {
		times = append(times, k.Format("15:04:05.000"))
	}
	return w.Settled(got.report.Sent, rules, limit), got.report.Messages, times
}
