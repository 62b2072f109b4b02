package kit

import (
	"regexp"
	"strings"
	"time"

	"github.com/postroad/postroad/internal/testkit/faults"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// Token makes a join token at a node, for one node or as the flags say.
func (r *Run) Token(at *faults.Node, flags ...string) string {
	r.T.Helper()
	return strings.TrimSpace(r.Command(at, append([]string{"cluster", "token"}, flags...)...))
}

// Join makes a node that was never started a member, and starts it.
func (r *Run) Join(n, through *faults.Node, token string) {
	r.T.Helper()
	r.Command(n, "cluster", "join", "--token", token, through.Advertise)
	if err := n.Start(); err != nil {
		r.T.Fatal(err)
	}
}

// Back starts a node that was killed, and waits until it is ready.
func (r *Run) Back(n *faults.Node) {
	r.T.Helper()
	if err := n.Start(); err != nil {
		r.T.Fatal(err)
	}
	r.Within(20*time.Second, n.Name+" is started again", n.AwaitReady)
}

// Grow makes a node join, and waits until it has its places.
func (r *Run) Grow() *faults.Node {
	r.T.Helper()
	start := time.Now()
	n, err := r.Cluster.Add()
	if err != nil {
		r.T.Fatal(err)
	}
	r.Within(time.Minute, n.Name+" joins", r.Cluster.AwaitWhole)
	r.T.Logf("%s has joined, and all is whole, after %.1f s", n.Name, time.Since(start).Seconds())
	return n
}

// Shrink drains a node, told to at another, and removes it. A client of a drained node must be told
// so, and to try elsewhere.
func (r *Run) Shrink(n *faults.Node) {
	r.T.Helper()
	at := r.Another(n)
	start := time.Now()
	if status, out := r.Status(at, "cluster", "drain", n.Name, "--timeout", "1m"); status != 0 {
		r.T.Fatalf("draining %s does not end: %s\n%s\n%s", n.Name, out,
			r.Command(at, "cluster", "status"), r.Chronicle())
	}
	r.T.Logf("%s is drained after %.1f s", n.Name, time.Since(start).Seconds())
	if why, ready := n.Ready(r.Ctx); ready {
		r.T.Errorf("%s is drained, and ready for mail", n.Name)
	} else {
		r.T.Logf("%s is not ready: %s", n.Name, why)
	}
	r.MustRefuse(n)
	r.Command(at, "cluster", "remove", n.Name)
	removed := time.Now()
	if err := n.Terminate(); err != nil &&
		!strings.Contains(err.Error(), "removed from the cluster") {
		r.T.Error(err)
	}
	// a proposal that nobody answers any more holds it up for five
	if took := time.Since(removed); took > 9*time.Second {
		r.T.Errorf("%s, which was removed, took %v to stop\n%s", n.Name, took, r.Chronicle())
	}
	n.Retire()
	r.Within(time.Minute, "without "+n.Name, r.Cluster.AwaitWhole)
	r.T.Logf("%s is removed, and all is whole, after %.1f s", n.Name, time.Since(start).Seconds())
}

// Another returns a living node other than n.
func (r *Run) Another(n *faults.Node) *faults.Node {
	r.T.Helper()
	for _, o := range r.Cluster.Live() {
		if o != n {
			return o
		}
	}
	r.T.Fatalf("no node but %s is up", n.Name)
	return nil
}

var tryElsewhere = regexp.MustCompile(`\b(421[ -]|451 4\.3\.2 )`)

// MustRefuse sends a message to a node that takes none: the client must be told 421 or 451 4.3.2,
// and nothing else.
func (r *Run) MustRefuse(n *faults.Node) {
	r.T.Helper()
	d, err := mailtest.Dial(r.Ctx, mailtest.SendOptions{Addr: n.SMTP, Timeout: 10 * time.Second})
	if err == nil {
		defer d.Close()
		m := r.Gen.Message(1 << 30)
		sent := d.Send(m)
		if len(sent.Accepted) > 0 || len(sent.Refused) > 0 {
			r.T.Errorf("%s, which is to take none, took mail for %v and refused %v", n.Name,
				sent.Accepted, sent.Refused)
			return
		}
		err = sent.Err
	}
	if err == nil || !tryElsewhere.MatchString(err.Error()) {
		r.T.Errorf("%s, which is to take no mail, told a client %v; want 421 or 451 4.3.2", n.Name,
			err)
	}
}

// Crash kills a node for good.
func (r *Run) Crash(n *faults.Node) faults.Fault {
	f := faults.Fault{Kind: faults.Kill, What: "SIGKILL " + n.Name, Lost: []int{n.Number},
		UnderWay: r.World.UnderWay(), From: time.Now()}
	n.Kill()
	return f
}

// Kills kills a node.
func (r *Run) Kills(n *faults.Node) *faults.Fault {
	f := &faults.Fault{Kind: faults.Kill, What: "SIGKILL " + n.Name, UnderWay: r.World.UnderWay(),
		From: time.Now(), Lost: []int{n.Number}}
	n.Kill()
	return f
}

// MustBeRefused waits until a node has ended by itself with status 78 and these words.
func (r *Run) MustBeRefused(n *faults.Node, words ...string) {
	r.T.Helper()
	select {
	case <-n.Gone():
	case <-time.After(time.Minute):
		r.T.Fatalf("%s goes on\n%s", n.Name, n.Log())
	}
	if n.ExitStatus() != 78 {
		r.T.Errorf("%s ended with %d; want 78", n.Name, n.ExitStatus())
	}
	lines := strings.Split(strings.TrimSpace(n.Log()), "\n")
	for _, w := range words {
		if !strings.Contains(n.Log(), w) {
			r.T.Errorf("%s does not say %q:\n%s", n.Name, w, n.Log())
		}
	}
	r.T.Logf("%s ended with %d: %s", n.Name, n.ExitStatus(), lines[len(lines)-1])
}
