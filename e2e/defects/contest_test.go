package defects

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/testkit/faults"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// contest is messages that two owners try: the first is held up at the receiving server in the
// middle of its transactions and is stopped, and goes on when another owner has tried the same. It
// is driven by what happens, so that the speed of the machine does not matter.
type contest struct {
	node    int             // the first of the two
	at      mailtest.At     // where it is held up: before its content, or before the reply to it
	answer  string          // what it is told then; "": the usual reply
	others  mailtest.Action // for whoever tries the same: at the end of data
	release chan struct{}

	mu    sync.Mutex
	held  map[string]bool // recipients
	tried map[string]bool // of these, by others
	over  bool
}

func newContest(node int, at mailtest.At, answer string, others mailtest.Action) *contest {
	return &contest{node: node, at: at, answer: answer, others: others,
		release: make(chan struct{}), held: map[string]bool{}, tried: map[string]bool{}}
}

// step is the receiving server's hook. Recipients differ between messages, so they tell which it is
// even before its content.
func (c *contest) step(s *mailtest.Step) mailtest.Action {
	c.mu.Lock()
	defer c.mu.Unlock()
	if faults.NodeOf(s) == c.node {
		if s.At != c.at || c.over {
			return mailtest.Action{}
		}
		for _, r := range s.Recipients {
			c.held[r] = true
		}
		return mailtest.Action{Until: c.release, Reply: c.answer}
	}
	if s.At != mailtest.AtEnd ||
		!slices.ContainsFunc(s.Recipients, func(r string) bool { return c.held[r] }) {
		return mailtest.Action{}
	}
	for _, r := range s.Recipients {
		c.tried[r] = true
	}
	return c.others
}

func (c *contest) holds() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.held)
}

// end lets the first owner go on; nothing more is held up.
func (c *contest) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		c.over = true
		close(c.release)
	}
}

// allTriedElsewhere reports whether another owner has tried all that is held up.
func (c *contest) allTriedElsewhere() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for r := range c.held {
		if !c.tried[r] {
			return false
		}
	}
	return true
}

// copies counts what of the contest has arrived.
func (c *contest) copies(deliveries []mailtest.Delivery) map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := map[string]int{}
	for i := range deliveries {
		for _, r := range deliveries[i].Recipients {
			if c.held[r] {
				n[r]++
			}
		}
	}
	return n
}

// wonBy reports whether others have delivered all that is held up.
func (c *contest) wonBy(deliveries []mailtest.Delivery) bool {
	return len(c.copies(deliveries)) == c.holds()
}

// twice reports whether something has arrived twice.
func (c *contest) twice(deliveries []mailtest.Delivery) bool {
	for _, n := range c.copies(deliveries) {
		if n > 1 {
			return true
		}
	}
	return false
}

// runContest lets a fault begin when at least so many recipients are held up, and has the first
// owner's answers sent when lost reports that others have tried them; before and after are called
// around that. It returns when the cluster is whole again.
func runContest(
	r *kit.Run, c *contest, least int, step faults.Step, lost func() bool, before, after func(),
) error {
	r.T.Cleanup(c.end)
	r.World.Answer(faults.Slow(50 * time.Millisecond)) // so that there are many connections
	r.Flows(300)
	r.World.Answer(c.step)
	kit.Eventually(r.T, time.Minute, func() bool { return c.holds() >= least },
		func() string { return fmt.Sprintf("only %d recipients are under way", c.holds()) })
	r.Driver.Act = func(faults.Step, []*faults.Node) {
		before()
		kit.Eventually(r.T, time.Minute, lost, func() string {
			return "nobody else tries what is under way at the first owner"
		})
		r.T.Logf("%d recipients were under way at n%d, and others tried them", c.holds(), c.node)
		c.end()
		after()
	}
	defer func() { r.Driver.Act = nil }()
	return r.Driver.Do(r.Ctx, step)
}

func nothing() {}

// within waits for something that may not come.
func within(limit time.Duration, cond func() bool) bool {
	for end := time.Now().Add(limit); time.Now().Before(end); <-time.After(20 * time.Millisecond) {
		if cond() {
			return true
		}
	}
	return false
}

// reported tells whether a sender was told that something failed.
func reported(deliveries []mailtest.Delivery) bool {
	return slices.ContainsFunc(deliveries, func(d mailtest.Delivery) bool { return d.Sender == "" })
}
