package mailbox

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue/queuetest"
)

// wallClock is virtual in a bubble.
type wallClock struct{}

func (wallClock) Now() time.Time { return time.Now() }

// peer is one member of the group under test with its store.
type peer struct {
	rows  *queuetest.Member
	store *Store
}

// recipient is one recipient of a message in a queue, which is to be delivered to a mailbox exactly
// once.
type recipient struct {
	key     AppendKey
	text    string
	busy    bool // an append is under way
	settled bool
	stored  int // by the log
}

// owners is a group of several members that own the mailboxes in turn, and the world around: a
// queue that delivers and crashes, users that delete.
type owners struct {
	t     *testing.T
	rand  *rand.Rand
	group *queuetest.Cluster
	peers []*peer
	calm  bool

	witness *queuetest.Member
	mu      struct {
		sync.Mutex
		rand       *rand.Rand // of the faults
		slow       time.Time  // until then every outcome is unknown, and no command is lost
		recipients []*recipient
		byKey      map[DedupRecord]*recipient
		uids       map[UID]bool
		again      int // appends that were known
	}
}

const (
	theMailbox = "user@example.net"
	members    = 3
)

func newOwners(t *testing.T, seed uint64) *owners {
	w := &owners{
		t:     t,
		rand:  rand.New(rand.NewPCG(seed, 5)),
		group: &queuetest.Cluster{Refused: ErrRefused},
	}
	w.mu.rand = rand.New(rand.NewPCG(seed, 6))
	w.mu.byKey, w.mu.uids = map[DedupRecord]*recipient{}, map[UID]bool{}
	w.group.Fault = w.fault
	for range members {
		p := &peer{}
		w.boot(p)
		w.peers = append(w.peers, p)
	}
	m := machineOf(New(Options{}))
	apply := m.Apply
	m.Apply = func(wr *queuetest.Writer, index, term uint64, data []byte, parts [][]byte) any {
		result := apply(wr, index, term, data, parts)
		w.see(data, result)
		return result
	}
	w.witness = w.group.Join(m, nil)
	return w
}

// see counts what the log stores. The result of a repeated command names the UIDs of the first.
func (w *owners) see(data []byte, result any) {
	var c command
	if err := c.decode(data); err != nil {
		w.t.Fatal(err)
	}
	results, ok := result.(appendResult)
	if !ok {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, r := range results {
		if rc := w.mu.byKey[c.items[i].key]; r.Code == Stored && !w.mu.uids[r.UID] {
			w.mu.uids[r.UID] = true
			if rc.stored++; rc.stored > 1 {
				w.t.Errorf("%s is in the mailbox %d times", rc.text, rc.stored)
			}
		} else if r.Code == Duplicate {
			w.mu.again++
		}
	}
}

// boot gives a peer a new process: only its rows are left of the one before.
func (w *owners) boot(p *peer) {
	p.store = New(
		Options{
			NewClock:   func(time.Time) Clock { return wallClock{} },
			UnknownFor: 5 * time.Second,
		},
	)
	p.rows = w.group.Join(machineOf(p.store), p.rows)
	p.store.Open(p.rows)
}

func (w *owners) fault(data []byte) queuetest.Fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.calm {
		return queuetest.None
	}
	if time.Now().Before(w.mu.slow) {
		return queuetest.Delay
	}
	f := queuetest.Fault(w.mu.rand.IntN(16)) // most are None
	if f > queuetest.Delay {
		return queuetest.None
	}
	if w.mu.rand.IntN(2) == 0 {
		f += queuetest.Depose // outcomes are unknown when leaders go
	}
	return f
}

func (w *owners) any() *peer { return w.peers[w.rand.IntN(len(w.peers))] }

func (w *owners) owner() *peer {
	for _, p := range w.peers {
		if p.store.run.Load() != nil && w.group.Leader() == p.rows {
			return p
		}
	}
	return w.any()
}

// notice lets the peers see who leads.
func (w *owners) notice() {
	leader := w.group.Leader()
	for _, p := range w.peers {
		if p.store.run.Load() != nil && (p.rows != leader || w.rand.IntN(10) == 0) {
			p.store.Abandon()
		}
	}
	for _, p := range w.peers {
		if p.rows == leader && p.store.run.Load() == nil {
			ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Second)
			if err := p.store.Start(ctx, p.rows, &heard{}); err == nil {
				p.store.CreateMailbox(ctx, theMailbox, Settings{}) // the first owner's, or an error
			}
			cancel()
		}
	}
}

// newMail is taken by the queue.
func (w *owners) newMail() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for range 1 + w.rand.IntN(4) {
		n := uint32(len(w.mu.recipients))
		rc := &recipient{
			key:  AppendKey{ID: mail.ID{7}, Recipient: n},
			text: fmt.Sprint("message ", n),
		}
		w.mu.recipients = append(w.mu.recipients, rc)
		w.mu.byKey[DedupRecord{rc.key.ID, n}] = rc
	}
}

// deliver appends what is not settled. After an answer the queue settles, or crashes before that
// and will deliver again.
func (w *owners) deliver(p *peer) {
	w.mu.Lock()
	var some []*recipient
	for _, rc := range w.mu.recipients {
		if !rc.settled && !rc.busy && (w.calm || w.rand.IntN(2) == 0) {
			rc.busy = true
			some = append(some, rc)
		}
	}
	w.mu.Unlock()
	for _, rc := range some {
		content := contentOf(rc.text)
		if rc.key.Recipient%40 == 7 {
			content = Content{Size: directSize + 9, Open: func() (io.ReadCloser, error) {
				return io.NopCloser(bytes.NewReader(make([]byte, directSize+9))), nil
			}}
		}
		p.store.Append(
			&Delivery{content, []Item{{Key: rc.key, Mailbox: theMailbox}}},
			func(r []Result, err error) {
				w.mu.Lock()
				defer w.mu.Unlock()
				rc.busy = false
				if err == nil && (r[0].Code == Stored || r[0].Code == Duplicate) &&
					(w.calm || w.mu.rand.IntN(2) == 0) {
					rc.settled = true
				}
			},
		)
	}
}

// forget drops the records of what the queue has settled: those that it lists, as after a forget
// was lost.
func (w *owners) dropDedup(p *peer) {
	records, err := p.store.DedupRecords(DedupRecord{}, 10_000)
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	var settled []DedupRecord
	for _, r := range records {
		if w.mu.byKey[r].settled {
			settled = append(settled, r)
		}
	}
	w.mu.Unlock()
	p.store.DropDedupRecords(settled) // an error is heard of again
}

// delete is the user's.
func (w *owners) delete(p *peer) {
	box, err := p.store.Mailbox(theMailbox)
	if err != nil {
		return
	}
	var uids []UID
	p.store.Messages(box.Ref, Inbox, Range{}, func(m *Message) bool {
		if w.rand.IntN(2) == 0 {
			uids = append(uids, m.UID)
		}
		return true
	})
	ctx, cancel := context.WithTimeout(w.t.Context(), 3*time.Second)
	defer cancel()
	p.store.Expunge(ctx, box.Ref, Inbox, uids, false)
}

func (w *owners) step() {
	<-time.After(time.Duration(w.rand.IntN(3000)) * time.Millisecond)
	p := w.owner()
	switch n := w.rand.IntN(100); {
	case n < 15:
		w.newMail()
	case n < 40:
		w.deliver(p)
	case n < 50:
		w.dropDedup(p)
	case n < 58:
		w.delete(p)
	case n < 64 || n < 82 && w.group.Leader() == nil:
		w.group.Lead(w.any().rows)
	case n < 82:
		w.notice()
	case n < 90:
		w.group.Follow(w.any().rows, w.rand.IntN(10))
	case n < 92:
		w.group.Restore(w.any().rows)
	case n < 93:
		w.mu.Lock()
		w.mu.slow = time.Now().Add(10 * time.Second)
		w.mu.Unlock()
	case n < 94:
		old := p.store
		w.boot(p)
		old.Abandon() // its goroutines go; the rows that it knew are no member's any more
	default:
		w.group.Release()
	}
	synctest.Wait()
	w.group.Follow(w.witness, len(w.group.Log()))
}

// end lets the last owner deliver all that is left.
func (w *owners) end() {
	w.mu.Lock()
	w.calm = true
	w.mu.Unlock()
	p := w.any()
	w.group.Lead(p.rows)
	for range 20 {
		w.notice()
		w.group.Release() // late ones
		w.deliver(p)
		<-time.After(10 * time.Second)
		synctest.Wait()
		w.dropDedup(p)
		synctest.Wait()
	}
	w.group.Follow(w.witness, len(w.group.Log()))
}

// check: everything was stored once, no record or chunk is left, and all members have come to the
// same.
func (w *owners) check() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, rc := range w.mu.recipients {
		if !rc.settled || rc.stored != 1 {
			w.t.Errorf("%s: settled %v, stored %d times", rc.text, rc.settled, rc.stored)
		}
	}
	for _, p := range w.peers {
		w.group.Follow(p.rows, len(w.group.Log()))
		if diff := p.rows.Now().Diff(w.witness.Now()); diff != "" {
			w.t.Errorf("a member differs: %s", diff)
		}
	}
	s, err := w.peers[0].store.Stats()
	if kept := len(w.witness.Now().Kept()); err != nil || s.DedupRecords != 0 ||
		kept > int(s.Contents)*4+100 {
		w.t.Errorf("%+v, %d parts are kept, %v", s, kept, err)
	}
}

// TestExactlyOnce: whatever becomes of owners, proposals, queue and messages, a recipient's message
// is stored once.
func TestExactlyOnce(t *testing.T) {
	var stored, again int
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			w := newOwners(t, seed)
			for range 250 {
				w.step()
			}
			w.end()
			w.check()
			stored, again = stored+len(w.mu.recipients), again+w.mu.again
			for _, p := range w.peers {
				p.store.Stop(t.Context())
			}
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%d messages stored, %d appends were known", stored, again)
	if stored < 500 || again < 50 {
		t.Error("not all was tested")
	}
}

// TestPlantedDefect: the test above fails when the dedup records go before the queue has settled.
func TestPlantedDefect(t *testing.T) {
	if dropsDedupEarly {
		t.Skip("this is the defect")
	}
	cmd := exec.Command(
		"go",
		"test",
		"-count=1",
		"-tags",
		"defect_forgetearly",
		"-run",
		"TestExactlyOnce",
		".",
	)
	cmd.Env = os.Environ()
	if out, err := cmd.CombinedOutput(); err == nil ||
		!bytes.Contains(out, []byte("is in the mailbox 2 times")) {
		t.Errorf("the defect was not found: %v\n%s", err, out)
	}
}
