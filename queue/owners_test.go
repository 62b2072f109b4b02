package queue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue/machine"
	"github.com/postroad/postroad/queue/queuetest"
)

// peer is one member of the group under test with its queue, and the courier of its present term.
type peer struct {
	number  uint16
	rows    *queuetest.Member
	queue   *Queue
	courier *courier
}

// owners is a group of several members that own the queue in turn, and the world around: clients
// that submit, hops that take mail.
type owners struct {
	t       *testing.T
	rand    *rand.Rand
	group   *queuetest.Cluster
	peers   []*peer
	witness *witness
	ids     int
	calm    bool

	patience time.Duration // of clients
	mu       struct {
		sync.Mutex
		rand      *rand.Rand         // of the faults
		acked     map[string]mail.ID // by sender, each message has its own
		refused   int
		delivered map[string][]handover // by sender and recipient
	}
}

// handover is one recipient that a next hop took.
type handover struct {
	session uint64
	maybe   bool // the attempt knew that it may not be the first
}

func newOwners(t *testing.T, seed uint64, members int) *owners {
	w := &owners{
		t:     t,
		rand:  rand.New(rand.NewPCG(seed, 5)),
		group: &queuetest.Cluster{Refused: ErrRefused},
	}
	w.patience = []time.Duration{2 * time.Second, time.Minute}[seed%2]
	w.mu.rand = rand.New(rand.NewPCG(seed, 6))
	w.mu.acked, w.mu.delivered = map[string]mail.ID{}, map[string][]handover{}
	w.group.Fault = w.fault
	for n := range members {
		p := &peer{number: uint16(n + 1)}
		w.boot(p)
		w.peers = append(w.peers, p)
	}
	w.witness = newWitness(w)
	return w
}

// boot gives a peer a new process: only its rows are left of the one before.
func (w *owners) boot(p *peer) {
	p.queue = New(Options{
		Member: p.number, NewClock: func(floor time.Time) Clock { return wallClock{floor} },
		Forward: forwarding{w.group}, UnknownFor: w.patience,
	})
	m := machineOf(p.queue)
	m.Restored = p.queue.Restored
	p.rows, p.courier = w.group.Join(m, p.rows), nil
	p.queue.Open(p.rows)
}

func (w *owners) fault(data []byte) queuetest.Fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.calm {
		return queuetest.None
	}
	f := queuetest.Fault(w.mu.rand.IntN(20)) // most are None
	if f > queuetest.Delay {
		return queuetest.None
	}
	if w.mu.rand.IntN(2) == 0 {
		f += queuetest.Depose // outcomes are unknown when leaders go
	}
	return f
}

// forwarding is the way of a command to the leader over the network.
type forwarding struct{ *queuetest.Cluster }

func (f forwarding) Propose(ctx context.Context, data []byte, parts [][]byte) (any, error) {
	if err := checkForwarded(data, parts); err != nil {
		return nil, err
	}
	result, err := f.Cluster.Propose(ctx, data, parts)
	if err != nil {
		return nil, err
	}
	return ParseResult(machine.AppendResult(nil, result))
}

// submit sends messages to a peer, whether it owns the queue or not.
func (w *owners) submit(p *peer) {
	for range 1 + w.rand.IntN(4) {
		w.ids++
		sender, size := fmt.Sprintf("s%d@x.example", w.ids), 20
		if w.rand.IntN(40) == 0 {
			size = directSize + 1
		}
		own := fmt.Sprintf(
			"d%d.example",
			w.ids,
		) // so that no other message's news leads to this one
		to := []string{"r@" + own, "q@" + own, "r@a.example"}[:1+w.rand.IntN(3)]
		p.queue.Submit(
			envelope(sender, to...),
			contentOf(make([]byte, size)),
			func(id mail.ID, f *smtp.Failure) {
				w.mu.Lock()
				defer w.mu.Unlock()
				if f != nil {
					w.mu.refused++
				} else {
					w.mu.acked[sender] = id
				}
			},
		)
	}
}

// owner returns the peer that takes mail, if there is one.
func (w *owners) owner() *peer {
	for _, p := range w.peers {
		if p.courier != nil {
			return p
		}
	}
	return nil
}

func (w *owners) any() *peer { return w.peers[w.rand.IntN(len(w.peers))] }

// notice lets the peers see who leads.
func (w *owners) notice() {
	leader := w.group.Leader()
	for _, p := range w.peers {
		if run := p.queue.run.Load(); run != nil && (p.rows != leader || w.rand.IntN(10) == 0) {
			p.queue.Abandon()
			p.courier = nil
		}
	}
	for _, p := range w.peers {
		if p.rows == leader && p.queue.run.Load() == nil {
			w.term(p)
		}
	}
}

// rest ends a term in good order.
func (w *owners) rest(p *peer) {
	if p.courier == nil {
		return
	}
	p.courier.settle()
	ctx, cancel := context.WithTimeout(w.t.Context(), 3*time.Second)
	defer cancel()
	p.queue.Stop(ctx) // when it fails, attempts are unknown, which the next epoch says
	p.courier = nil
}

// operate holds and releases a domain, which only the owner can.
func (w *owners) operate(p *peer) {
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	for _, verb := range []func(context.Context, Filter, Moved) (Total, error){
		p.queue.Hold, p.queue.ReleaseHeld,
	} {
		if _, err := verb(ctx, Filter{Domain: "a.example"}, nil); p.queue.run.Load() == nil &&
			!errors.Is(err, ErrRefused) {
			w.t.Errorf("a verb on a member that is not the owner: %v", err)
		}
	}
}

// crash takes a peer's process away, with all that it was told and had not recorded.
func (w *owners) crash(p *peer) {
	old := p.queue
	w.boot(p)
	old.Abandon() // its goroutines go; the rows that it knew are no member's any more
}

func (w *owners) step() {
	<-time.After(time.Duration(w.rand.IntN(3000)) * time.Millisecond)
	p := w.any()
	if owner := w.owner(); owner != nil && w.rand.IntN(3) > 0 {
		p = owner
	}
	switch n := w.rand.IntN(100); {
	case n < 30:
		w.submit(p)
	case n < 50 && p.courier != nil:
		p.courier.attempt(1 + w.rand.IntN(5))
	case n < 65 && p.courier != nil:
		p.courier.settle()
	case n < 70 || n < 85 && w.group.Leader() == nil:
		w.group.Lead(w.any().rows)
	case n < 84:
		w.notice()
	case n < 92:
		w.group.Follow(p.rows, w.rand.IntN(10))
	case n < 94:
		w.rest(p)
	case n < 95:
		w.operate(p)
	case n < 96:
		w.group.Restore(p.rows)
	case n < 97:
		w.crash(p)
	default:
		w.group.Release()
	}
	synctest.Wait()
	w.witness.follow()
}

// end lets the last owner deliver all that is left, without another change of owners, so that what
// nobody was told of stays and is found.
func (w *owners) end() {
	w.mu.Lock()
	w.calm = true
	w.mu.Unlock()
	p := w.any()
	w.group.Lead(p.rows)
	w.notice()
	w.group.Release() // late ones
	<-time.After(2 * time.Minute)
	for range 500 {
		if p.courier == nil {
			w.notice()
		} else {
			p.queue.ReleaseHeld(w.t.Context(), Filter{}, nil)
			p.courier.attempt(100)
			p.courier.settle()
		}
		<-time.After(5 * time.Second)
		synctest.Wait()
		if p.queue.Empty() {
			return
		}
	}
	messages, _, _ := p.queue.Left()
	w.t.Errorf("%d messages are stuck", messages)
}

// check: nothing acknowledged is lost, and all members have come to the same.
func (w *owners) check() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for sender := range w.mu.acked {
		if len(w.mu.delivered[sender+" to 0"]) == 0 {
			w.t.Errorf("%s was acknowledged and is lost", sender)
		}
	}
	w.witness.follow()
	for _, p := range w.peers {
		w.group.Follow(p.rows, len(w.group.Log()))
		if diff := p.rows.Now().Diff(w.witness.rows.Now()); diff != "" {
			w.t.Errorf("member %d differs: %s", p.number, diff)
		}
		if n := len(p.rows.Now().Kept()); n > 0 && len(rowsOf(p.rows, machine.KeyChunk)) == 0 {
			w.t.Errorf("member %d keeps %d parts of an empty queue", p.number, n)
		}
	}
}

func rowsOf(m *queuetest.Member, kind byte) (keys []string) {
	m.Now().Rows(func(k, _ []byte) {
		if k[0] == kind {
			keys = append(keys, string(k))
		}
	})
	return keys
}

func TestOwnersInTurn(t *testing.T) {
	var acked, late, fenced, twice int
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			w := newOwners(t, seed, 3)
			for range 300 {
				w.step()
			}
			w.end()
			w.check()
			acked, fenced = acked+len(w.mu.acked), fenced+len(w.witness.refused)
			for _, p := range w.peers {
				late += int(p.queue.Stats().AcceptedAfter451)
				p.queue.Stop(t.Context())
			}
			for _, h := range w.mu.delivered {
				twice += min(len(h)-1, 1)
			}
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf(
		"%d messages acknowledged, %d accepted late, %d delivered again, %d commands fenced",
		acked,
		late,
		twice,
		fenced,
	)
	if acked < 500 || late == 0 || twice == 0 || fenced == 0 {
		t.Error("not all was tested")
	}
}
