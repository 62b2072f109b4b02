package cluster

import (
	"os/exec"
	"regexp"
	"strconv"
	"testing"

	"github.com/postroad/postroad/e2e/kit"
)

var demoLine = regexp.MustCompile(
	`accepted (\d+) messages for (\d+) recipients; delivered (\d+), lost (\d+), changed (\d+), duplicated (\d+) \((\d+) of them without a reason\)`)

// TestClusterDemo runs the demonstration as its readers do: one node, and three of which one is
// killed half-way.
func TestClusterDemo(t *testing.T) {
	program := kit.Binary(t, "")
	for _, c := range []struct {
		nodes    string
		messages int
	}{{"1", 300}, {"3", 3000}} {
		t.Run(c.nodes, func(t *testing.T) {
			if c.nodes != "1" {
				kit.NeedClusters(t, program)
			}
			n := c.messages
			if kit.Long() {
				n = 20_000
			}
			out, err := exec.CommandContext(t.Context(), program, "demo", "--nodes", c.nodes,
				"--messages", strconv.Itoa(n)).CombinedOutput()
			t.Logf("%s", out)
			if err != nil {
				t.Fatal(err)
			}
			m := demoLine.FindStringSubmatch(string(out))
			if m == nil || m[2] != m[3] || m[4] != "0" || m[5] != "0" || m[7] != "0" {
				t.Fatalf("the last line is not as it should be: %q", m)
			}
			// A client that the killed node owed an answer to does not send again: it could not
			// know.
			if accepted, err := strconv.Atoi(m[1]); err != nil || accepted > n ||
				accepted < n*98/100 {
				t.Errorf("%s of %d messages were accepted", m[1], n)
			}
			if c.nodes != "1" &&
				!regexp.MustCompile(`move again after \d|nothing was orphaned`).Match(out) {
				t.Error("it does not say when the orphaned messages moved again")
			}
		})
	}
}
