package node

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/delivery/share"
)

// inquiry asks, for the grantor of this node, the nodes of deposed owners whether those have closed
// their connections. A process that is stopped does not answer, and closes nothing until it wakes.
type inquiry struct {
	doubts func() []share.Doubt
	ask    func(ctx context.Context, member uint16) ([]share.Tenure, error) // which holders it has
	note   func(member uint16, asked time.Time, open []share.Tenure)
	member func(id uint16) bool // whether it is one still
	logf   func(format string, args ...any)
	kick   chan struct{} // there may be doubts

	mu    sync.Mutex
	under map[uint16]bool // whom a question is under way to
	told  map[uint16]bool // of whom the log says that it does not answer
}

// Times of the questions.
const (
	inquireEvery = 250 * time.Millisecond
	inquireWait  = time.Second // for an answer
)

func (n *node) inquire() *inquiry {
	return &inquiry{
		doubts: n.grantor.Doubts, note: n.grantor.Note, logf: n.log.Logf,
		member: func(id uint16) bool {
			m, ok := n.control.Member(id)
			return ok && m.State != control.Removed
		},
		ask: func(ctx context.Context, member uint16) (open []share.Tenure, err error) {
			if member == n.self.Member {
				return n.holders.Tenures(), nil
			}
			return open, n.store.Ask(ctx, member, http.MethodGet, "/node/holders", nil, &open)
		},
		kick: make(chan struct{}, 1), under: map[uint16]bool{}, told: map[uint16]bool{},
	}
}

// wake makes it look now: doubts come with what holders ask.
func (q *inquiry) wake() {
	select {
	case q.kick <- struct{}{}:
	default:
	}
}

// run asks as long as there are doubts. It ends when ctx does.
func (q *inquiry) run(ctx context.Context) {
	timer := time.NewTimer(inquireEvery)
	defer timer.Stop()
	var all sync.WaitGroup
	defer all.Wait()
	for {
		doubts := q.doubts()
		q.forget(doubts)
		for _, d := range doubts {
			if q.begin(d.Node) {
				all.Go(func() { q.one(ctx, d) })
			}
		}
		again := timer.C
		if timer.Reset(inquireEvery); len(doubts) == 0 {
			again = nil
		}
		select {
		case <-again:
		case <-q.kick:
		case <-ctx.Done():
			return
		}
	}
}

// one asks one node.
func (q *inquiry) one(ctx context.Context, d share.Doubt) {
	defer q.end(d.Node)
	asked := time.Now()
	if !q.member(d.Node) { // it was removed
		q.note(d.Node, asked, nil)
		return
	}
	limited, cancel := context.WithTimeout(ctx, inquireWait)
	defer cancel()
	open, err := q.ask(limited, d.Node)
	switch answer := (*cluster.Answer)(nil); {
	case err == nil:
		q.note(d.Node, asked, open)
	case errors.Is(err, syscall.ECONNREFUSED):
		// no process is left, and the system has closed all that it had
		q.note(d.Node, asked, nil)
	case errors.As(err, &answer):
		// An older version, which does not know the question. It runs, so it has closed what it had
		// so long after it was deposed.
		q.note(d.Node, asked.Add(-share.DefaultLinger), nil)
	case ctx.Err() == nil && !d.Brief:
		q.tell(d, err)
	}
}

// tell says once that a node does not answer.
func (q *inquiry) tell(d share.Doubt, err error) {
	q.mu.Lock()
	first := !q.told[d.Node]
	q.told[d.Node] = true
	q.mu.Unlock()
	if first {
		q.logf(
			"limits: %v: it may have connections open of groups that others own now (%d are "+
				"counted), so others get less: until it answers, its process has ended, "+
				"it is removed from the cluster, or %v have passed",
			err,
			d.Connections,
			share.DefaultPatience,
		)
	}
}

func (q *inquiry) begin(member uint16) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.under[member] {
		return false
	}
	q.under[member] = true
	return true
}

func (q *inquiry) end(member uint16) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.under, member)
}

// forget drops who is in doubt no more.
func (q *inquiry) forget(doubts []share.Doubt) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for member := range q.told {
		still := false
		for _, d := range doubts {
			still = still || d.Node == member
		}
		if !still {
			delete(q.told, member)
		}
	}
}
