package cluster

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
)

// gate puts a proxy before a member, which others meet from their next connection on. Once the
// returned function was called, nothing passes.
func (m *many) gate(x *member) (shut func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		m.t.Fatal(err)
	}
	m.mu.Lock()
	target := x.addr
	x.addr = l.Addr().String()
	m.mu.Unlock()
	held, ended := make(chan struct{}), make(chan struct{})
	m.t.Cleanup(func() { close(ended); l.Close() })
	pump := func(to, from net.Conn) {
		defer to.Close()
		defer from.Close()
		buf := make([]byte, 32<<10)
		for {
			n, err := from.Read(buf)
			select {
			case <-held:
				<-ended
				return
			default:
			}
			if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
				return
			}
		}
	}
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", target)
			if err != nil {
				near.Close()
				continue
			}
			go pump(far, near)
			go pump(near, far)
		}
	}()
	return func() { close(held) }
}

// hanging is three members, of which the second does not answer the first any more.
func hanging(t *testing.T) (*many, *member) {
	m := newMany(t, 3)
	one := m.start(1)
	m.leader()
	shut := m.gate(m.start(2))
	m.start(3)
	m.grow(2, 3)
	m.put(one, 0, 10)
	m.until("member 2 has caught up", func() bool { return one.g.CaughtUp(2) })
	shut()
	return m, one
}

// TestTransferHangs: the member that is to take over does not answer. The leader goes on soon.
func TestTransferHangs(t *testing.T) {
	t.Parallel()
	m, one := hanging(t)
	if err := one.g.Transfer(context.Background(), 2); err == nil {
		t.Fatal("handed over to a member that does not answer")
	}
	m.until("it holds the group again", func() bool { return one.g.Holds(one.g.Leading()) })
	m.put(one, 10, 10)
}

// TestLooksAgain: raft refuses a leader's barriers as long as a transfer is under way, and it may
// be under way for longer than raft says. A leader that looks at that time whether it leads cannot
// tell, and must look again.
func TestLooksAgain(t *testing.T) {
	t.Parallel()
	m, one := hanging(t)
	one.g.handing.begin()
	given := one.g.raft.LeadershipTransferToServer(serverID(2), raft.ServerAddress(serverID(2)))
	m.until("barriers are refused", func() bool {
		return errors.Is(one.g.raft.Barrier(0).Error(), raft.ErrLeadershipTransferInProgress)
	})
	one.g.resume()
	if given.Error() == nil {
		t.Fatal("handed over to a member that does not answer")
	}
	m.until("it leads again", func() bool { return one.g.Leading() != 0 })
	m.put(one, 10, 10)
}

// TestStandsWhenAsked: a member that is told to take over long after it was asked to be ready, or
// without having been asked, goes on following.
func TestStandsWhenAsked(t *testing.T) {
	t.Parallel()
	m := newMany(t, 3)
	one := m.start(1)
	m.leader()
	two := m.start(2)
	m.start(3)
	m.grow(2, 3)
	m.put(one, 0, 10)
	term := one.g.Leading()
	err := one.g.transport.(*transport).NetworkTransport.TimeoutNow(serverID(2),
		raft.ServerAddress(serverID(2)),
		&raft.TimeoutNowRequest{
			RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax},
		}, new(raft.TimeoutNowResponse))
	if err == nil || !strings.Contains(err.Error(), "not asked to take over") {
		t.Errorf("a late word to stand: %v", err)
	}
	m.put(one, 10, 10)
	if got := one.g.Leading(); got != term || two.g.raft.State() != raft.Follower {
		t.Errorf("member 1 leads in term %d, was %d; member 2 is %v", got, term, two.g.raft.State())
	}
}
