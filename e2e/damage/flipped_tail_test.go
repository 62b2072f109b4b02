package damage

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/testkit/faults"
)

// TestFlippedTail: a node that stands alone is killed as soon as it has acknowledged a message, and
// one bit of what it wrote last is another one when it starts again. That is no torn write: it has
// all messages, or it says that it is damaged, and does not start.
func TestFlippedTail(t *testing.T) {
	t.Parallel()
	r := kit.StartRun(t, kit.RunOptions{Nodes: 1, Domains: 1, Seed: 20261130, Size: 4096,
		Quiet: true})
	r.World.Answer((&kit.Refusing{}).Step)
	n := r.Cluster.Node(1)
	tries := r.StartLoad(faults.LoadOptions{Connections: 1, Count: 10}).Wait()
	n.Kill()
	accepted := 0
	for _, try := range tries {
		if len(try.Accepted) > 0 {
			accepted++
		}
	}
	t.Log(flipTail(t, n, 64))
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	if err := n.AwaitReady(r.Ctx); err != nil {
		if status := n.ExitStatus(); status != 78 || !strings.Contains(n.Log(), "damaged") {
			t.Errorf("it ended with %d: %v\n%s", status, err, n.Log())
		}
		return
	}
	want := fmt.Sprintf(`"messages":%d`, accepted)
	kit.Eventually(t, 20*time.Second, func() bool {
		return strings.Contains(r.Command(n, "queue", "count", "--json"), want)
	}, func() string {
		return fmt.Sprintf("it starts without a word and has not all of %d: %s", accepted,
			r.Command(n, "queue", "count", "--json"))
	})
}

// flipTail changes one bit of the log, so many octets before the end of what was written.
func flipTail(t *testing.T, n *faults.Node, before int) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(n.Data, "segments", "*.seg"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no segments: %v", err)
	}
	name := names[len(names)-1]
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	end := len(b)
	for end > 0 && b[end-1] == 0 {
		end--
	}
	off := end - before
	b[off] ^= 0x10
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b[off:off+1], int64(off)); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("a bit of octet %d of %d of %s is flipped", off, end, filepath.Base(name))
}
