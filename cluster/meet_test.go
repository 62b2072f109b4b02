package cluster

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/raft"
)

// asking stands between the members and the question for a leader's table.
type asking struct {
	mu     sync.Mutex
	answer func(w http.ResponseWriter, r *http.Request) bool // false: the node answers; nil: it does
}

func (a *asking) serves(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		answer := a.answer
		a.mu.Unlock()
		if r.URL.Path != "/cluster/terms" || answer == nil || !answer(w, r) {
			h.ServeHTTP(w, r)
		}
	})
}

func (a *asking) set(answer func(http.ResponseWriter, *http.Request) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = answer
}

// acked is what a leader counts as acknowledged by a member.
func (g *Group) acked(member uint16) position {
	g.quarantine.mu.Lock()
	defer g.quarantine.mu.Unlock()
	return g.quarantine.acked[serverID(member)]
}

// hearsFrom waits until a member has answered some frames of a leader's heartbeats.
func (m *many) hearsFrom(leader *member, member uint16, frames int) {
	m.t.Helper()
	for range frames {
		before := leader.g.lease.sentTo(member)
		m.until("another heartbeat is answered", func() bool { return leader.g.lease.sentTo(member) > before })
	}
}

// sentTo is when that was sent what a member answered last.
func (l *lease) sentTo(member uint16) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.peers[serverID(member)]; p != nil {
		return p.sent
	}
	return 0
}

// TestNothingIsTakenBeforeTheLeaderWasMet: the past of three ended in a term that the others have by
// another reign, and they have more of it: raft finds no difference. The leader of the next term
// needs three for a majority. It gets no yes from it, though its heartbeats are answered, as long as
// three has not heard what its log is; then three stops.
func TestNothingIsTakenBeforeTheLeaderWasMet(t *testing.T) {
	var asking asking
	m := diverged(t, sameTerm, asking.serves)
	old := m.leader()
	m.put(old, 105, 60) // beyond the end of three's log
	term := old.g.Leading()
	m.verifyOthersHave(old)
	two := uint16(3) - old.id
	m.until("another term has begun", func() bool {
		_ = old.g.Transfer(context.Background(), two)
		return m.leader().g.Leading() > term
	})
	leader := m.leader()
	other := m.members[3-leader.id]
	failed := make(chan error, 1)
	m.onFailure = func(err error) {
		select {
		case failed <- err:
		default:
		}
	}
	asked, answer := make(chan struct{}), make(chan struct{})
	var once sync.Once
	asking.set(func(_ http.ResponseWriter, r *http.Request) bool {
		once.Do(func() { close(asked) })
		select {
		case <-answer:
		case <-r.Context().Done():
		}
		return false
	})
	three := m.start(3)
	<-asked
	m.stop(other)
	proposed := make(chan error, 1)
	before, _ := leader.g.log.Last()
	go func() {
		_, err := leader.g.Propose(context.Background(), []byte("key00200"), contents("key00200", 0))
		proposed <- err
	}()
	m.until("it is in the leader's log", func() bool { last, _ := leader.g.log.Last(); return last > before })
	m.hearsFrom(leader, 3, 3)
	if has := leader.g.acked(3); has.index > 0 || leader.g.raft.CommitIndex() > before {
		t.Errorf("three has said yes up to %+v, and %d is committed of %d", has, leader.g.raft.CommitIndex(), before)
	}
	if leader.g.Leading() == 0 {
		t.Error("its leader does not lead any more")
	}
	close(answer)
	var why *TakenBack
	if err := <-failed; !errors.As(err, &why) {
		t.Fatalf("three stopped with %v", err)
	}
	if has := leader.g.acked(3); has.index > 0 {
		t.Errorf("three has said yes up to %+v before it stopped", has)
	}
	_ = three.node.Close() // what it waits for never comes
	three.http.Close()
	three.port.Close()
	three.node = nil
	m.start(other.id)
	<-proposed // committed, or unknown after another election
	m.put(m.leader(), 300, 5)
}

// verifyOthersHave waits until the one that follows a leader has all that it has.
func (m *many) verifyOthersHave(leader *member) {
	m.t.Helper()
	for _, x := range m.members {
		if x.node != nil {
			m.until("all are equal", func() bool { return x.g.position() == leader.g.position() })
		}
	}
}

// TestLeaderThatDoesNotTell: a leader whose program has no table is believed at once; one that does
// not answer is waited for, and then believed, too.
func TestLeaderThatDoesNotTell(t *testing.T) {
	for _, status := range []int{http.StatusNotFound, http.StatusInternalServerError} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			var asking asking
			m := newMany(t, 3)
			m.serves = asking.serves
			one := m.three()
			m.put(one, 0, 10)
			var asked atomic.Int32
			asking.set(func(w http.ResponseWriter, _ *http.Request) bool {
				asked.Add(1)
				http.Error(w, "no table", status)
				return true
			})
			if err := one.g.Transfer(context.Background(), 2); err != nil {
				t.Fatal(err)
			}
			m.until("member 2 leads", func() bool { g := m.members[2].g; return g.Holds(g.Leading()) })
			m.put(m.members[2], 10, 10)
			m.verify(m.members[3], 20)
			if asked.Load() == 0 {
				t.Error("nobody asked")
			}
			asking.set(nil)
			three := m.members[3]
			m.put(m.members[2], 20, 1)
			m.until("member 3 has heard what the leader's log is", func() bool {
				t := three.g.leaders.Load()
				return status == http.StatusNotFound || t != nil && t.Term == three.g.currentTerm()
			})
		})
	}
}

// TestVoterMeetsNoLeaderTwice: who compared with a leader when that stood does not ask it again.
func TestVoterMeetsNoLeaderTwice(t *testing.T) {
	var asking asking
	m := newMany(t, 3)
	m.serves = asking.serves
	one := m.three()
	m.put(one, 0, 10)
	m.verifyOthersHave(one)
	var asked atomic.Int32
	asking.set(func(http.ResponseWriter, *http.Request) bool {
		if m.members[2].g.raft.State() == raft.Leader || m.members[3].g.raft.State() == raft.Leader {
			asked.Add(1)
		}
		return false
	})
	m.stop(one)
	leader := m.leader()
	m.put(leader, 10, 10)
	if n := asked.Load(); n > 0 {
		t.Errorf("who led was asked %d times", n)
	}
	voter := m.members[5-leader.id]
	m.verify(voter, 20)
	if told := voter.g.leaders.Load(); told == nil || told.Term != voter.g.currentTerm() {
		t.Errorf("the voter knows of the leader's log %+v", told)
	}
}
