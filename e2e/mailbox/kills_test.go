package mailbox

import (
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/testkit/faults"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// clients is how many send at a time.
const clients = 24

// deliver sends messages to the users while faults happen, each at least once, and returns what
// clients were told. Each of them waits for pace between two messages.
func deliver(
	r *kit.BoxRun, messages int, pace time.Duration, steps []faults.Step,
) (sent []mailtest.Sent) {
	r.T.Helper()
	load := r.StartLoad(faults.LoadOptions{Connections: clients, Interval: pace, Count: messages,
		Message: r.Message})
	ended := func() bool {
		select {
		case <-load.Done():
			return true
		default:
			return false
		}
	}
	for i := 0; i < len(steps) || !ended(); i++ {
		step := steps[i%len(steps)]
		if ended() {
			r.T.Logf("%v comes after the last message", step)
		}
		if err := r.Driver.Run(r.Ctx, []faults.Step{step}); err != nil {
			r.T.Fatalf("%v: %v\n%s", step, err, r.Logs())
		}
	}
	for _, try := range load.Wait() {
		sent = append(sent, try.Sent)
	}
	if n := load.GaveUp(); n > 0 {
		r.T.Errorf("no node took %d messages", n)
	}
	r.T.Logf("%d messages accepted; what clients met:\n%s", load.Accepted(), load.Failures())
	r.Drained(2 * time.Minute)
	return sent
}

// boxFaults are kills of one node after another, of all, and a restart in good order; in the long
// version a node is also stopped and cut off.
func boxFaults(pause time.Duration) []faults.Step {
	steps := []faults.Step{
		{Kind: faults.Kill, Node: 0, After: pause, For: 2 * time.Second},
		{Kind: faults.Restart, Node: 1, After: pause},
		{Kind: faults.Kill, Node: 2, After: pause, For: 2 * time.Second},
		{Kind: faults.KillAll, After: pause, For: time.Second},
		{Kind: faults.Kill, Node: 1, After: pause, For: 2 * time.Second},
		{Kind: faults.Restart, Node: 0, After: pause},
	}
	if kit.Long() {
		steps = append(steps, faults.Step{Kind: faults.Pause, Node: 2, After: pause,
			For: 6 * time.Second},
			faults.Step{Kind: faults.Partition, Node: 1, Sides: []int{1}, State: faults.Stalled,
				After: pause, For: 8 * time.Second},
			faults.Step{Kind: faults.Partition, Node: 0, Sides: []int{0}, State: faults.Cut,
				After: pause, For: 8 * time.Second})
	}
	return steps
}

// TestMailboxesUnderKills: while nodes are killed and restarted, each message comes into the
// mailboxes of its recipients exactly once, and is read over POP3 at every node: 60 users and 2,500
// messages, 60 a second. POSTROAD_LONG=1: 2,000 users and 100,000 messages, as fast as they are
// taken.
func TestMailboxesUnderKills(t *testing.T) {
	users, messages := 60, 2500
	if kit.Long() {
		users, messages = 2000, 102_000 // of which some are not acknowledged
	}
	r := kit.StartBoxes(t, "", 3, users)
	sent := deliver(r, messages, 2*kit.Pace(clients, 0), boxFaults(time.Second))
	for _, n := range r.Cluster.Nodes() {
		got := r.Read(n)
		report := mailtest.Compare(sent, got, mailtest.Rules{})
		t.Logf("at %s: %d messages in %d mailboxes\n%v", n.Name, len(got), users, report)
		if !report.OK() || report.Refused.N > 0 {
			t.Errorf(
				"at %s the mailboxes have not what was sent to them, each message once, or "+
					"somebody was refused", n.Name)
		}
	}
}

// TestMailboxesFindForgetEarly: a planted defect, the append record dropped as soon as the message
// is there, is found by the same check: what was appended and not settled when a node was killed is
// there twice.
func TestMailboxesFindForgetEarly(t *testing.T) {
	r := kit.StartBoxes(t, "defect_forgetearly", 3, 50)
	sent := deliver(r, 6000, 0, boxFaults(500 * time.Millisecond)[:4])
	report := mailtest.Compare(sent, r.Read(r.Cluster.Nodes()[0]), mailtest.Rules{})
	t.Logf("%v", report)
	if report.Duplicated.N == 0 {
		t.Error("no message is there twice: the check does not find the defect")
	}
}
