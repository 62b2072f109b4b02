package cluster

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad/postroad/cluster/wire"
)

// asking stands between the members and the question for a leader's table.
type asking struct {
	mu   sync.Mutex
	sees func(asker uint16, answer *httptest.ResponseRecorder) // nil: nobody does
}

func (a *asking) serves(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		sees := a.sees
		a.mu.Unlock()
		if r.URL.Path != "/cluster/terms" || sees == nil {
			h.ServeHTTP(w, r)
			return
		}
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, r)
		peer, _ := wire.Peer(r.Context())
		sees(peer.Member, answer)
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	})
}

func (a *asking) set(sees func(asker uint16, answer *httptest.ResponseRecorder)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sees = sees
}

// ofLeader reports whether one that leads has answered.
func ofLeader(answer *httptest.ResponseRecorder) bool {
	return strings.Contains(answer.Body.String(), `"Leads":true`)
}

// acked is what this member, as a leader, counts as acknowledged by another.
func (g *Group) acked(member uint16) position {
	g.quarantine.mu.Lock()
	defer g.quarantine.mu.Unlock()
	return g.quarantine.acked[serverID(member)]
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

// TestNothingIsTakenBeforeTheLeaderWasMet: the past of three ended in a term that the others have
// by another reign, and they have more of it: raft finds no difference. No leader of a later term
// gets a yes to its entries from three, though its heartbeats are answered, as long as three has
// not heard what its log is; then three stops.
func TestNothingIsTakenBeforeTheLeaderWasMet(t *testing.T) {
	t.Parallel()
	var asking asking
	m := diverged(t, sameTerm, asking.serves)
	old := m.leader()
	term := old.g.Leading()
	m.put(old, 105, 60) // beyond the end of three's log
	m.until("another term has begun", func() bool {
		_ = old.g.Transfer(context.Background(), 3-old.id)
		return m.leader().g.Leading() > term
	})
	m.put(m.leader(), 165, 1)
	failed := make(chan error, 1)
	m.onFailure = func(err error) {
		select {
		case failed <- err:
		default:
		}
	}
	asked, answer := make(chan struct{}), make(chan struct{})
	var once sync.Once
	asking.set(func(asker uint16, a *httptest.ResponseRecorder) {
		if asker == 3 && ofLeader(a) {
			once.Do(func() { close(asked) })
			<-answer
		}
	})
	m.timeout = 5 * time.Second // so that it waits long for the answer
	three := m.start(3)
	<-asked
	others := []*member{m.members[1], m.members[2]}
	heard := func() (at int64) {
		for _, x := range others {
			at = max(at, x.g.lease.sentTo(3))
		}
		return at
	}
	for range 4 {
		before := heard()
		m.until("another heartbeat is answered", func() bool { return heard() > before })
	}
	for _, x := range others {
		if has := x.g.acked(3); has.index > 0 {
			t.Errorf("three has said yes to member %d up to %+v", x.id, has)
		}
	}
	close(answer)
	var why *TakenBack
	if err := <-failed; !errors.As(err, &why) {
		t.Fatalf("three stopped with %v", err)
	}
	for _, x := range others {
		if has := x.g.acked(3); has.index > 0 {
			t.Errorf("three has said yes to member %d up to %+v before it stopped", x.id, has)
		}
	}
	_ = three.node.Close() // what it waits for never comes
	three.http.Close()
	three.port.Close()
	three.node = nil
	m.put(m.leader(), 300, 5)
}

// TestLeaderThatDoesNotTell: a leader whose program has no table is believed at once; one that does
// not answer is waited for, and then believed, too.
func TestLeaderThatDoesNotTell(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusNotFound, http.StatusInternalServerError} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			var asking asking
			m := newMany(t, 3)
			m.serves = asking.serves
			one := m.three()
			m.put(one, 0, 10)
			var asked atomic.Int32
			asking.set(func(_ uint16, answer *httptest.ResponseRecorder) {
				if ofLeader(answer) {
					asked.Add(1)
					answer.Code = status
				}
			})
			m.until("another leads", func() bool {
				_ = one.g.Transfer(context.Background(), 2)
				return m.leader() != one
			})
			m.put(m.leader(), 10, 10)
			m.verify(m.members[3], 20)
			if asked.Load() == 0 {
				t.Error("nobody asked")
			}
			asking.set(nil)
			m.put(m.leader(), 20, 1)
			m.until("all have heard what the leader's log is", func() bool {
				leader := m.leader()
				for _, x := range m.members {
					told := x.g.leaders.Load()
					if status != http.StatusNotFound && x != leader &&
						(told == nil || told.Term != leader.g.Leading()) {
						return false
					}
				}
				return true
			})
		})
	}
}

// TestVoterMeetsNoLeaderTwice: who compared with a leader when that stood does not ask it again.
func TestVoterMeetsNoLeaderTwice(t *testing.T) {
	t.Parallel()
	var asking asking
	m := newMany(t, 3)
	m.serves = asking.serves
	one := m.three()
	m.put(one, 0, 10)
	for _, x := range m.members {
		m.verify(x, 10)
	}
	var asked atomic.Int32
	asking.set(func(_ uint16, answer *httptest.ResponseRecorder) {
		if ofLeader(answer) {
			asked.Add(1)
		}
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
