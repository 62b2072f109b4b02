package kit

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

// BoxDomain is local to the nodes.
const BoxDomain = "box.example"

// BoxRun is a cluster whose users have mailboxes.
type BoxRun struct {
	*Run
	Users []string
}

// StartBoxes starts nodes and adds so many users.
func StartBoxes(t *testing.T, tags string, nodes, users int) *BoxRun {
	t.Helper()
	r := &BoxRun{Run: StartRun(t, RunOptions{
		Nodes: nodes, Tags: tags, Seed: 11, Quiet: true, POP3: true, MaxSize: 32 << 10,
		Extra: fmt.Sprintf("[local]\ndomains = [%q]\n", BoxDomain),
	})}
	for i := range users {
		r.Users = append(r.Users, fmt.Sprintf("u%d@%s", i, BoxDomain))
	}
	r.Command(r.Cluster.Nodes()[0], "user", "import", UserFile(t, r.Users))
	for _, n := range r.Cluster.Nodes() { // the others hear of it a moment later
		Eventually(t, time.Minute, func() bool {
			return strings.Count(r.Command(n, "user", "list"), "\n") == users
		}, func() string { return n.Name + " does not know all users" })
	}
	return r
}

// Message is message i, for one user, or now and then for several.
func (r *BoxRun) Message(i int) *mailtest.Message {
	m := r.Gen.Message(i)
	m.UTF8, m.Recipients = false, []string{r.Users[i%len(r.Users)]}
	if i%20 == 0 {
		for k := range 9 {
			m.Recipients = append(m.Recipients, r.Users[(i+1+k*31)%len(r.Users)])
		}
	}
	return m
}

// Read reads all mailboxes at one node over POP3, several at a time.
func (r *BoxRun) Read(n *faults.Node) (got []mailtest.Delivery) {
	r.T.Helper()
	var mu sync.Mutex
	var all sync.WaitGroup
	var failed error
	next := make(chan string)
	for range 8 {
		all.Go(func() {
			for user := range next {
				found, err := ReadMaildrop(n.POP3, user)
				mu.Lock()
				got, failed = append(got, found...), errors.Join(failed, err)
				mu.Unlock()
			}
		})
	}
	for _, u := range r.Users {
		next <- u
	}
	close(next)
	all.Wait()
	if failed != nil {
		r.T.Fatalf("reading at %s: %v", n.Name, failed)
	}
	return got
}

// ReadMaildrop reads a mailbox over POP3.
func ReadMaildrop(address, user string) (got []mailtest.Delivery, err error) {
	m, err := OpenMaildrop(address, user)
	if err != nil {
		return nil, err
	}
	err = m.retrieve(func(content []byte) {
		sum, id := mailtest.SumOf(content)
		got = append(got, mailtest.Delivery{ID: id, Sender: "somebody", Recipients: []string{user},
			Sum: sum, Size: int64(len(content))})
	})
	return got, errors.Join(err, m.Quit())
}

// Drained waits until no queue holds anything.
func (r *BoxRun) Drained(limit time.Duration) {
	r.T.Helper()
	var left float64
	var failed error
	Eventually(r.T, limit, func() bool {
		left, failed = 0, nil
		for _, n := range r.Cluster.Nodes() {
			some, err := metricAt(n.Admin, "postroad_queue_messages")
			left, failed = left+some, errors.Join(failed, err)
		}
		return left == 0 && failed == nil
	}, func() string { return fmt.Sprintf("%.0f messages are in queues: %v", left, failed) })
}
