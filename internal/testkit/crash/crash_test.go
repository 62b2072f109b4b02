package crash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue"
)

// clones is how many crashes are looked at: 100, or POSTROAD_CRASH_CLONES, 10,000 for the figure in
// the closing note of a release.
func clones(t *testing.T) int {
	v := os.Getenv("POSTROAD_CRASH_CLONES")
	if v == "" {
		return 100
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		t.Fatalf("POSTROAD_CRASH_CLONES=%q: want a number", v)
	}
	return n
}

// clonesPerRound: then one of the clones goes on as the node, so that recovered state is crashed
// again.
const clonesPerRound = 25

// clonesPerDisk: then the node begins anew with an empty disk.
const clonesPerDisk = 500

// TestPowerLoss takes clones of the disk at random moments under load, with 0, 10 or 50 % of what
// was not synced, starts a node on each, and finds every message that was acknowledged before the
// clone, whole, and none that is half there.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if v := os.Getenv("POSTROAD_CRASH_SEED"); v != "" {
		fmt.Sscan(v, &seed)
	}
	t.Logf("seed %d", seed)
	c := &crash{t: t, rand: rand.New(rand.NewPCG(seed, 1)), fs: emptyDisk(t), seed: seed}
	for left := clones(t); left > 0; left -= clonesPerRound {
		c.round(min(left, clonesPerRound))
		if t.Failed() {
			t.FailNow()
		}
		if c.clones%clonesPerDisk == 0 {
			c.fs, c.before = emptyDisk(t), nil // or what has piled up takes all the time
		}
		if c.clones%1000 == 0 {
			t.Logf("%d clones so far", c.clones)
		}
	}
	t.Logf("%d clones: %d acknowledged messages checked, %d others found whole", c.clones,
		c.checked.Load(), c.others.Load())
}

// emptyDisk has the data directory that a node is given.
func emptyDisk(t *testing.T) *vfs.MemFS {
	fs := vfs.NewCrashableMem()
	root, err := fs.OpenDir("/")
	if err := errors.Join(err, fs.MkdirAll("/node", 0o700), root.Sync(), root.Close()); err != nil {
		t.Fatal(err)
	}
	return fs
}

type crash struct {
	t               *testing.T
	rand            *rand.Rand
	seed            uint64
	fs              *vfs.MemFS
	before          *load
	clones          int
	checked, others atomic.Int64
}

// round runs a node under load and crashes it n times. The last clone is the next round's disk.
func (c *crash) round(n int) {
	node, err := start(c.fs)
	if err != nil {
		c.t.Fatalf("start on clone %d: %v", c.clones, err)
	}
	defer node.stop()
	l := newLoad(c.t, node.queue, c.before)
	if err := c.adopt(node, l); err != nil {
		c.t.Fatal(err)
	}
	l.run(8, c.seed+uint64(c.clones))
	defer l.stop()
	for range n {
		for range 1 + c.rand.IntN(20) {
			<-node.synced
		}
		c.clones++
		percent := []int{0, 10, 50}[c.rand.IntN(3)]
		promised := l.promises()
		disk := c.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: c.rand})
		l.forgive(promised)
		l.gate.Lock()
		c.look(disk.CrashClone(vfs.CrashCloneCfg{}), promised, percent)
		l.gate.Unlock()
		if c.t.Failed() {
			return
		}
		if c.clones%clonesPerRound == 0 {
			next := &load{}
			next.mu.acked, next.mu.settled, next.mu.next = promised, map[mail.ID]bool{}, l.next()
			c.fs, c.before = disk, next
		}
	}
}

// adopt takes over what the crash left of mail that was under way: recovered, it must survive the
// next crash too.
func (c *crash) adopt(node *node, l *load) error {
	_, err := node.queue.List(context.Background(), queue.Filter{},
		func(s *queue.Stored, _ []uint32) bool {
			number, err := c.read(node, s.Message)
			if err != nil {
				c.t.Errorf("message %v: %v", s.Message.ID, err)
			}
			l.mu.acked[s.Message.ID] = promise{number, len(s.Recipients)}
			return true
		})
	return err
}

func (l *load) next() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.next
}

// look starts a node on a clone and compares what it has with what was promised.
func (c *crash) look(disk *vfs.MemFS, promised map[mail.ID]promise, percent int) {
	node, err := start(disk)
	if err != nil {
		c.t.Errorf("clone %d, %d %% of the unsynced kept: %v", c.clones, percent, err)
		return
	}
	defer node.stop()
	found, waiting := 0, 0
	_, err = node.queue.List(context.Background(), queue.Filter{},
		func(s *queue.Stored, unsettled []uint32) bool {
			m := s.Message
			waiting += len(unsettled)
			p, was := promised[m.ID]
			number, err := c.read(node, m)
			switch {
			case err != nil:
				c.t.Errorf("clone %d, %d %% kept: message %v: %v", c.clones, percent, m.ID, err)
			case was && (number != p.number || len(m.Envelope.Recipients) != p.recipients):
				c.t.Errorf("clone %d: message %v has the content of number %d, want %d", c.clones,
					m.ID,
					number, p.number)
			case was:
				found++
			default:
				c.others.Add(1)
			}
			return true
		})
	if err != nil {
		c.t.Errorf("clone %d: %v", c.clones, err)
	}
	if scheduled, err := c.scheduled(node); err != nil || scheduled != waiting {
		c.t.Errorf("clone %d: %d of %d recipients are scheduled, %v", c.clones, scheduled, waiting,
			err)
	}
	if found != len(promised) {
		c.t.Errorf("clone %d, %d %% of the unsynced kept: %d of %d acknowledged messages are lost",
			c.clones, percent, len(promised)-found, len(promised))
	}
	c.checked.Add(int64(found))
}

// scheduled counts the recipients that the schedule would bring.
func (c *crash) scheduled(node *node) (n int, err error) {
	domains, err := node.queue.Domains("", 100)
	for _, d := range domains {
		items, _, err := node.queue.Due(d.Domain, queue.Cursor{}, time.Now().Add(24*time.Hour),
			1<<20)
		if err != nil {
			return n, err
		}
		for _, it := range items {
			n += len(it.Recipients)
		}
	}
	return n, err
}

// read reads a message whole: its content as it was sent, for the sender it was sent by.
func (c *crash) read(node *node, m *queue.Message) (uint64, error) {
	var b bytes.Buffer
	if _, err := node.queue.OpenContent(m).WriteTo(&b); err != nil {
		return 0, err
	}
	number, ok := intact(b.Bytes())
	if !ok || int64(b.Len()) != m.Size || m.Envelope.Sender != fmt.Sprintf("s%d@example.net",
		number) {
		return 0, fmt.Errorf("its content of %d octets is not what was sent", b.Len())
	}
	return number, nil
}

// TestPlantedDefects: the test above fails when a defect is there to be found. A log that was not
// synced is found in either of two ways: the node opens without what was acknowledged, or it
// refuses to open because a later block proves that one is gone.
func TestPlantedDefects(t *testing.T) {
	t.Parallel()
	lost := "acknowledged messages are lost"
	for tag, signs := range map[string][]string{
		"defect_nosync":       {lost, "log has lost what was on stable storage"},
		"defect_dropafter250": {lost},
	} {
		t.Run(tag, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command("go", "test", "-count=1", "-tags", tag, "-run", "TestPowerLoss",
				".")
			cmd.Env = append(os.Environ(), "POSTROAD_CRASH_CLONES=200")
			out, err := cmd.CombinedOutput()
			found := slices.ContainsFunc(signs, func(sign string) bool {
				return bytes.Contains(out, []byte(sign))
			})
			if err == nil || !found {
				t.Errorf("the defect was not found: %v\n%s", err, out)
			}
		})
	}
}
