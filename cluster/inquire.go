package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/postroad/postroad/cluster/wire"
)

// Standing is what a member answers when another asks how far it is in a group, and what it
// remembers of the one that asks. A program that does not know the question answers 404, which is
// no answer.
type Standing struct {
	Term      uint64
	LastTerm  uint64 // of the last entry of its log
	LastIndex uint64
	Commit    uint64
	Leads     bool   // it surely leads the group now
	Led       uint64 // the newest term in which its process has led
	InDoubt   bool   // it is in quarantine itself
	// The newest entry that who asks has acknowledged to this process when it led; 0: it knows of
	// none.
	AckedTerm  uint64
	AckedIndex uint64
}

func (s *Standing) last() position { return position{s.LastTerm, s.LastIndex} }

// Acked is the newest entry that who asked has acknowledged to the one that answered.
func (s *Standing) acked() position { return position{s.AckedTerm, s.AckedIndex} }

func (n *Node) serveStanding(w http.ResponseWriter, r *http.Request) {
	g := n.asked(w, r)
	if g == nil {
		return
	}
	peer, _ := wire.Peer(r.Context())
	_ = json.NewEncoder(w).Encode(g.standing(peer.Member)) // who asks sees that it was cut off
}

func (g *Group) standing(asks uint16) Standing {
	has := g.position()
	s := Standing{
		Term: g.raft.CurrentTerm(), LastTerm: has.term, LastIndex: has.index,
		Commit: g.raft.CommitIndex(),
		Leads:  g.Holds(g.Leading()), Led: g.quarantine.led.Load(), InDoubt: len(g.Doubts()) > 0,
	}
	g.quarantine.mu.Lock()
	defer g.quarantine.mu.Unlock()
	p := g.quarantine.acked[serverID(asks)]
	s.AckedTerm, s.AckedIndex = p.term, p.index
	return s
}

// remember notes what a member acknowledged to this one as its leader.
func (q *quarantine) remember(id raft.ServerID, request *raft.AppendEntriesRequest) {
	p := position{request.PrevLogTerm, request.PrevLogEntry}
	if n := len(request.Entries); n > 0 {
		p = position{request.Entries[n-1].Term, request.Entries[n-1].Index}
	}
	if q.led.Load() < request.Term {
		q.led.Store(request.Term)
	}
	if p.index == 0 {
		return // a heartbeat
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.acked == nil {
		q.acked = map[raft.ServerID]position{}
	}
	if q.acked[id].before(p) {
		q.acked[id] = p
	}
}

const (
	inquireEvery   = 500 * time.Millisecond
	inquireTimeout = 2 * time.Second
	doubtTold      = 5 * time.Second // how often the log says that a member is in quarantine
)

// AskStanding asks a member how far it is in the group.
func (g *Group) AskStanding(ctx context.Context, member uint16) (s Standing, err error) {
	ctx, cancel := context.WithTimeout(ctx, inquireTimeout)
	defer cancel()
	err = g.node.Call(
		ctx,
		member,
		http.MethodGet,
		fmt.Sprintf("/cluster/standing?group=%d", g.id),
		nil,
		func(r io.Reader) error {
			return json.NewDecoder(io.LimitReader(r, 64<<10)).Decode(&s)
		},
	)
	return s, err
}

// otherVoters are those of the newest configuration.
func (g *Group) otherVoters() (others []uint16) {
	for _, s := range g.servers() {
		if s.Suffrage == raft.Voter && s.ID != g.serverID() {
			others = append(others, memberOf(s.ID))
		}
	}
	return others
}

// askAll asks several members at once; who gives no answer is not in the map.
func (g *Group) askAll(members []uint16) map[uint16]Standing {
	var mu sync.Mutex
	var all sync.WaitGroup
	answers := map[uint16]Standing{}
	for _, member := range members {
		all.Go(func() {
			if s, err := g.AskStanding(g.ctx, member); err == nil {
				mu.Lock()
				defer mu.Unlock()
				answers[member] = s
			}
		})
	}
	all.Wait()
	return answers
}

// inquireLocked sees to it that somebody asks as long as there are doubts, once the group runs.
func (g *Group) inquireLocked() {
	q := &g.quarantine
	if len(q.doubts) > 0 && !q.asking && g.running.Load() {
		q.asking = true
		g.done.Go(g.inquire)
	}
}

// inquire runs as long as this member is in quarantine: it asks the others, and says every few
// seconds what it waits for.
func (g *Group) inquire() {
	tick := time.NewTicker(inquireEvery)
	defer tick.Stop()
	var told time.Time
	for {
		g.hear()
		doubts := g.Doubts()
		g.quarantine.mu.Lock()
		done := len(g.quarantine.doubts) == 0
		g.quarantine.asking = !done
		g.quarantine.mu.Unlock()
		if done {
			return
		}
		if time.Since(told) >= doubtTold {
			told = time.Now()
			for _, d := range doubts {
				g.node.opts.Logf("group %d: this node is in quarantine: %s", g.id, &d)
			}
		}
		select {
		case <-tick.C:
		case <-g.stop:
			return
		}
	}
}

// hear asks the others when a doubt wants it, and lowers the floor when that was enough.
func (g *Group) hear() {
	if !slices.ContainsFunc(g.Doubts(), func(d Doubt) bool { return d.Hear }) {
		return
	}
	term, others := g.raft.CurrentTerm(), g.otherVoters()
	heard := judge(others, g.askAll(others), term)
	q := &g.quarantine
	q.mu.Lock()
	defer q.mu.Unlock()
	changed := false
	for i := range q.doubts {
		d := &q.doubts[i]
		if !d.Hear {
			continue
		}
		if d.Unheard = heard.missing; !heard.enough(d.Why) {
			continue
		}
		d.Hear, d.Unheard, changed = false, nil, true
		if heard.most.before(d.floor()) {
			d.FloorTerm, d.FloorIndex = heard.most.term, heard.most.index
		}
	}
	if changed {
		if err := keepDoubts(g.log, q.doubts); err != nil {
			g.node.opts.Logf(
				"group %d: noting what the others said: %v",
				g.id,
				err,
			) // asked again after the next start
		}
	}
}

// heard is what the others' answers come to.
type heard struct {
	most    position // the most that one of them has
	all     bool     // everyone was heard
	leads   bool     // one of them leads now
	led     bool     // one of them led in this member's term, or later
	missing []uint16 // those without an answer that counts
}

// enough reports whether one of those who were heard surely has all that this member has helped to
// commit. Its own term counts only when that cannot be among what it forgot.
func (h *heard) enough(why Why) bool { return h.all || h.leads || h.led && why == DamagedTail }

func judge(others []uint16, answers map[uint16]Standing, term uint64) (h heard) {
	for _, member := range others {
		s, ok := answers[member]
		if !ok || s.InDoubt {
			h.missing = append(h.missing, member)
			continue
		}
		if h.most.before(s.last()) {
			h.most = s.last()
		}
		h.leads, h.led = h.leads || s.Leads, h.led || s.Led >= term
	}
	h.all = len(others) > 0 && len(h.missing) == 0
	return h
}
