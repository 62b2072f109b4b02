package e2e

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/testkit/faults"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// boxDomain is local to the nodes.
const boxDomain = "box.example"

// boxRun is a cluster whose users have mailboxes.
type boxRun struct {
	*run
	users []string
}

// startBoxes starts nodes and adds so many users.
func startBoxes(t *testing.T, tags string, nodes, users int) *boxRun {
	t.Helper()
	r := &boxRun{run: startRun(t, runOptions{
		Nodes: nodes, Tags: tags, Seed: 11, Quiet: true, POP3: true, MaxSize: 32 << 10,
		Extra: fmt.Sprintf("[local]\ndomains = [%q]\n", boxDomain),
	})}
	for i := range users {
		r.users = append(r.users, fmt.Sprintf("u%d@%s", i, boxDomain))
	}
	r.command(r.Cluster.Nodes()[0], "user", "import", userFile(t, r.users))
	for _, n := range r.Cluster.Nodes() { // the others hear of it a moment later
		eventually(t, time.Minute, func() bool { return strings.Count(r.command(n, "user", "list"), "\n") == users }, func() string { return n.Name + " does not know all users" })
	}
	return r
}

// message is message i, for one user, or now and then for several.
func (r *boxRun) message(i int) *mailtest.Message {
	m := r.Gen.Message(i)
	m.UTF8, m.Recipients = false, []string{r.users[i%len(r.users)]}
	if i%20 == 0 {
		for k := range 9 {
			m.Recipients = append(m.Recipients, r.users[(i+1+k*31)%len(r.users)])
		}
	}
	return m
}

// read reads all mailboxes at one node over POP3, several at a time.
func (r *boxRun) read(n *faults.Node) (got []mailtest.Delivery) {
	r.t.Helper()
	var mu sync.Mutex
	var all sync.WaitGroup
	var failed error
	next := make(chan string)
	for range 8 {
		all.Go(func() {
			for user := range next {
				found, err := readMaildrop(n.POP3, user)
				mu.Lock()
				got, failed = append(got, found...), errors.Join(failed, err)
				mu.Unlock()
			}
		})
	}
	for _, u := range r.users {
		next <- u
	}
	close(next)
	all.Wait()
	if failed != nil {
		r.t.Fatalf("reading at %s: %v", n.Name, failed)
	}
	return got
}

func readMaildrop(address, user string) (got []mailtest.Delivery, err error) {
	m, err := openMaildrop(address, user)
	if err != nil {
		return nil, err
	}
	err = m.retrieve(func(content []byte) {
		sum, id := mailtest.SumOf(content)
		got = append(got, mailtest.Delivery{ID: id, Sender: "somebody", Recipients: []string{user}, Sum: sum, Size: int64(len(content))})
	})
	return got, errors.Join(err, m.quit())
}

// drained waits until no queue holds anything.
func (r *boxRun) drained(limit time.Duration) {
	r.t.Helper()
	var left float64
	var failed error
	eventually(r.t, limit, func() bool {
		left, failed = 0, nil
		for _, n := range r.Cluster.Nodes() {
			some, err := metricAt(n.Admin, "postroad_queue_messages")
			left, failed = left+some, errors.Join(failed, err)
		}
		return left == 0 && failed == nil
	}, func() string { return fmt.Sprintf("%.0f messages are in queues: %v", left, failed) })
}

// deliver sends messages to the users while faults happen, each at least once, and returns what
// clients were told.
func (r *boxRun) deliver(messages int, steps []faults.Step) (sent []mailtest.Sent) {
	r.t.Helper()
	load := r.load(faults.LoadOptions{Connections: 24, Count: messages, Message: r.message})
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
			r.t.Logf("%v comes after the last message", step)
		}
		if err := r.Driver.Run(r.ctx, []faults.Step{step}); err != nil {
			r.t.Fatalf("%v: %v\n%s", step, err, r.logs())
		}
	}
	for _, try := range load.Wait() {
		sent = append(sent, try.Sent)
	}
	if n := load.GaveUp(); n > 0 {
		r.t.Errorf("no node took %d messages", n)
	}
	r.t.Logf("%d messages accepted; what clients met:\n%s", load.Accepted(), load.Failures())
	r.drained(2 * time.Minute)
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
	if long() {
		steps = append(steps, faults.Step{Kind: faults.Pause, Node: 2, After: pause, For: 6 * time.Second},
			faults.Step{Kind: faults.Partition, Node: 1, Sides: []int{1}, State: faults.Stalled, After: pause, For: 8 * time.Second},
			faults.Step{Kind: faults.Partition, Node: 0, Sides: []int{0}, State: faults.Cut, After: pause, For: 8 * time.Second})
	}
	return steps
}

// TestMailboxesUnderKills: while nodes are killed and restarted, each message comes into the
// mailboxes of its recipients exactly once, and is read over POP3 at every node. POSTROAD_LONG=1:
// 2,000 users and 100,000 messages.
func TestMailboxesUnderKills(t *testing.T) {
	users, messages := 100, 10_000
	if long() {
		users, messages = 2000, 102_000 // of which some are not acknowledged
	}
	r := startBoxes(t, "", 3, users)
	sent := r.deliver(messages, boxFaults(time.Second))
	for _, n := range r.Cluster.Nodes() {
		got := r.read(n)
		report := mailtest.Compare(sent, got, mailtest.Rules{})
		t.Logf("at %s: %d messages in %d mailboxes\n%v", n.Name, len(got), users, report)
		if !report.OK() || report.Refused.N > 0 {
			t.Errorf("at %s the mailboxes have not what was sent to them, each message once, or somebody was refused", n.Name)
		}
	}
}

// TestMailboxesFindForgetEarly: a planted defect, the append record dropped as soon as the message
// is there, is found by the same check: what was appended and not settled when a node was killed is
// there twice.
func TestMailboxesFindForgetEarly(t *testing.T) {
	r := startBoxes(t, "defect_forgetearly", 3, 50)
	sent := r.deliver(12_000, boxFaults(500 * time.Millisecond)[:4])
	report := mailtest.Compare(sent, r.read(r.Cluster.Nodes()[0]), mailtest.Rules{})
	t.Logf("%v", report)
	if report.Duplicated.N == 0 {
		t.Error("no message is there twice: the check does not find the defect")
	}
}
