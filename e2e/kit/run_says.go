package kit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/postroad/postroad/internal/testkit/faults"
)

// Logs are the ends of what the nodes wrote.
func (r *Run) Logs() string {
	var b strings.Builder
	for _, n := range r.Cluster.Nodes() {
		fmt.Fprintf(&b, "--- %s\n%s", n.Name, n.Log())
	}
	return b.String()
}

// State is what a living node says of the cluster, for people.
func (r *Run) State() string {
	out := "no node is up"
	for _, n := range r.Cluster.Live() {
		var err error
		if out, err = n.Run(r.Ctx, "cluster", "status"); err == nil {
			break
		}
		out = fmt.Sprintf("%s: %v\n%s", n.Name, err, out)
	}
	return out
}

// Command runs a postroad command at a node and returns its output; it must end with 0.
func (r *Run) Command(n *faults.Node, args ...string) string {
	r.T.Helper()
	out, err := n.Run(r.Ctx, args...)
	if err != nil {
		r.T.Fatalf("at %s: %v\n%s", n.Name, err, out)
	}
	return out
}

// Status runs a command and returns its exit status.
func (r *Run) Status(n *faults.Node, args ...string) (int, string) {
	r.T.Helper()
	out, err := n.Run(r.Ctx, args...)
	var ce *faults.CommandError
	if errors.As(err, &ce) {
		return ce.Status, out + ce.Stderr
	}
	if err != nil {
		r.T.Fatal(err)
	}
	return 0, out
}

// StoodStill reports whether the machine has stood still since then.
func (r *Run) StoodStill(since time.Time) bool {
	return slices.ContainsFunc(r.Driver.Stops(), func(s faults.Stop) bool {
		return s.Until.After(since)
	})
}

// ofItself returns the lines that a node wrote of itself, without those of mail.
func ofItself(n *faults.Node) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(n.Dir, "log"))
	return slices.DeleteFunc(strings.SplitAfter(string(text), "\n"),
		func(l string) bool { return !strings.Contains(l, " postroad[") }), err
}

// Around returns what the nodes wrote for operators from five seconds before one time until two
// after another, a bounded number of lines of each.
func (r *Run) Around(from, to time.Time) string {
	const before, after, most = 5 * time.Second, 2 * time.Second, 60
	seconds := map[string]bool{} // as lines begin
	for at := from.Add(-before); !at.After(to.Add(after)); at = at.Add(time.Second) {
		seconds[at.Format(time.Stamp)] = true
	}
	var b strings.Builder
	for _, n := range r.Cluster.All() {
		lines, err := ofItself(n)
		if err != nil {
			continue // a node that is no more
		}
		lines = slices.DeleteFunc(lines, func(l string) bool {
			return len(l) < len(time.Stamp) || !seconds[l[:len(time.Stamp)]]
		})
		fmt.Fprintf(&b, "--- %s\n%s", n.Name, strings.Join(lines[:min(len(lines), most)], ""))
	}
	return b.String()
}

// Chronicle is what the nodes said of themselves, without what they said of mail.
func (r *Run) Chronicle() string {
	var b strings.Builder
	for _, n := range r.Cluster.All() {
		lines, err := ofItself(n)
		if err != nil {
			fmt.Fprintln(&b, err)
		}
		fmt.Fprintf(&b, "--- %s\n%s", n.Name, strings.Join(lines[max(0, len(lines)-40):], ""))
	}
	return b.String()
}
