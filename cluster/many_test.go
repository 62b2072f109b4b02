package cluster

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postroad/postroad/cluster/wire"
)

// many is a cluster of nodes in one process, each on a file system of its own, connected over
// loopback.
type many struct {
	t         *testing.T
	ca, key   []byte
	members   map[uint16]*member
	mu        sync.Mutex
	cut       map[uint16]bool // cannot be dialled, cannot dial
	smallLog  bool
	timeout   time.Duration // of heartbeats; 0: a second
	onFailure func(error)
	onLog     func(id uint16, line string)
	serves    func(http.Handler) http.Handler // nil: a node's handler serves itself
}

type member struct {
	id   uint16
	fs   vfs.FS
	addr string
	node *Node
	port *wire.Port
	http *http.Server
	g    *Group
	sm   *toy
}

func newMany(t *testing.T, n int) *many {
	m := &many{t: t, members: map[uint16]*member{}, cut: map[uint16]bool{}}
	var err error
	if m.ca, m.key, err = wire.NewAuthority("test"); err != nil {
		t.Fatal(err)
	}
	for id := uint16(1); id <= uint16(n); id++ {
		m.members[id] = &member{id: id, fs: vfs.NewMem()}
	}
	t.Cleanup(func() {
		for _, x := range m.members {
			m.stop(x)
		}
	})
	return m
}

// inMemory is the size of segments there. A file in memory takes all its octets, and to write them
// at each start would take most of these tests' time.
const inMemory = 1 << 20

// start opens a member's node; the first one makes the group, the others wait to be found.
func (m *many) start(id uint16) *member {
	m.t.Helper()
	x := m.members[id]
	o := Options{Dir: "/node", FS: x.fs, Member: id, SegmentSize: inMemory,
		MarkerBytes:      64 << 20,
		HeartbeatTimeout: cmp.Or(m.timeout, time.Second),
		Logf: func(f string, a ...any) {
			m.t.Logf("%d: "+f, append([]any{id}, a...)...)
		}}
	if m.smallLog {
		o.MarkerBytes, o.MarkerEntries = 64<<10, 50
	}
	o.OnFailure = m.onFailure
	if heard := m.onLog; heard != nil {
		o.Logf = func(f string, a ...any) { heard(id, fmt.Sprintf(f, a...)) }
	}
	var err error
	if x.node, err = Open(o); err != nil {
		m.t.Fatal(err)
	}
	m.connect(x)
	x.g, x.sm = x.node.Group(HomeGroup), &toy{}
	begin := x.g.Join
	if id == 1 {
		begin = x.g.Start
	}
	if err := begin(x.sm, nil); err != nil {
		m.t.Fatal(err)
	}
	return x
}

func (m *many) connect(x *member) {
	csr, key, err := wire.NewRequest()
	if err != nil {
		m.t.Fatal(err)
	}
	self := wire.Identity{Cluster: "test", Member: x.id, Incarnation: x.node.Incarnation()}
	cert, err := wire.Sign(m.ca, m.key, csr, self)
	if err != nil {
		m.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		m.t.Fatal(err)
	}
	m.mu.Lock()
	x.addr = l.Addr().String()
	m.mu.Unlock()
	x.port, err = wire.New(wire.Options{Listener: l, Self: self,
		Credentials: wire.Credentials{CA: m.ca, Cert: cert, Key: key},
		Address:     m.address, Admit: func(peer wire.Identity, _ string) error {
			return m.admit(x.id, peer.Member)
		}})
	if err != nil {
		m.t.Fatal(err)
	}
	x.node.Connect(x.port)
	handler := x.node.Handler()
	if m.serves != nil {
		handler = m.serves(handler)
	}
	x.http = &http.Server{Handler: handler, ConnContext: wire.ConnContext}
	go x.http.Serve(x.port.HTTP())
}

func (m *many) address(id uint16) (string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	x := m.members[id]
	return x.addr, x != nil && x.addr != ""
}

func (m *many) admit(a, b uint16) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cut[a] || m.cut[b] {
		return fmt.Errorf("cut off")
	}
	return nil
}

// isolate cuts a member off from all others, or heals that.
func (m *many) isolate(id uint16, cut bool) {
	m.mu.Lock()
	m.cut[id] = cut
	m.mu.Unlock()
	for _, x := range m.members {
		if x.port != nil {
			x.port.Recheck()
		}
	}
}

func (m *many) stop(x *member) {
	if x.node == nil {
		return
	}
	if err := x.node.Close(); err != nil {
		m.t.Error(err)
	}
	x.http.Close()
	x.port.Close()
	x.node, x.port = nil, nil
}

// until polls what raft does in the background.
func (m *many) until(what string, ok func() bool) {
	m.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit.C:
			m.t.Fatalf("never: %s", what)
		}
	}
}

func (m *many) leader() *member {
	m.t.Helper()
	var found *member
	m.until("a leader", func() bool {
		for _, x := range m.members {
			if x.node != nil && x.g.Holds(x.g.Leading()) {
				found = x
			}
		}
		return found != nil
	})
	return found
}

// grow makes all others voters, one by one; again after an election, as on a busy machine.
func (m *many) grow(others ...uint16) {
	m.t.Helper()
	for _, id := range others {
		m.until(fmt.Sprintf("member %d is taken in", id),
			func() bool { return m.leader().g.AddNonvoter(id) == nil })
		m.until(fmt.Sprintf("member %d has caught up", id),
			func() bool { return m.leader().g.CaughtUp(id) })
		m.until(fmt.Sprintf("member %d is a voter", id),
			func() bool { return m.leader().g.AddVoter(id) == nil })
	}
}

// newThree is a group of three, which member 1 leads.
func newThree(t *testing.T) (m *many, one *member) {
	t.Helper()
	m = newMany(t, 3)
	return m, m.three()
}

// three starts three members as a group, which the first leads. Each knows that there are three:
// the last change of members reaches those that follow a moment after the leader.
func (m *many) three() (one *member) {
	m.t.Helper()
	one = m.start(1)
	m.leader()
	m.start(2)
	m.start(3)
	m.grow(2, 3)
	m.until("three members that know of each other", func() bool {
		for _, x := range m.members {
			if len(x.g.Members().Voters) != 3 {
				return false
			}
		}
		return true
	})
	return one
}

func (m *many) put(x *member, from, n int) {
	m.t.Helper()
	for i := from; i < from+n; i++ {
		key := fmt.Sprintf("key%05d", i)
		if _, err := x.g.Propose(context.Background(), []byte(key),
			contents(key, i%3)); err != nil {
			m.t.Fatal(err)
		}
	}
}

// verify finds all keys with their content at a member.
func (m *many) verify(x *member, n int) {
	m.t.Helper()
	for i := range n {
		key := fmt.Sprintf("key%05d", i)
		m.until(key+" is applied", func() bool {
			_, ok, err := x.g.Get([]byte(key))
			return ok &&
				err == nil
		})
		v, _, _ := x.g.Get([]byte(key))
		for part := range int(v[8]) {
			got, err := x.g.ReadPart(nil, be64(v), part)
			if err != nil || !bytes.Equal(got, content(key, part)) {
				m.t.Fatalf("member %d: part %d of %s: %d octets, %v", x.id, part, key, len(got),
					err)
			}
		}
	}
}

// AppendResult and ParseResult let a toy's answers cross the network.
func (*toy) AppendResult(b []byte, result any) []byte {
	return binary.BigEndian.AppendUint64(b, result.(uint64))
}

func (*toy) ParseResult(b []byte) (any, error) { return be64(b), nil }

func be64(b []byte) (n uint64) {
	for _, c := range b[:8] {
		n = n<<8 | uint64(c)
	}
	return n
}

// TestThreeMembers grows a group to three, loses the leader, and takes it back.
func TestThreeMembers(t *testing.T) {
	t.Parallel()
	m := newMany(t, 3)
	one := m.start(1)
	m.leader()
	m.put(one, 0, 50)
	m.start(2)
	m.start(3)
	m.grow(2, 3)
	m.put(one, 50, 50)
	for _, x := range m.members {
		m.verify(x, 100)
	}
	m.stop(one)
	next := m.leader()
	m.put(next, 100, 50)
	one = m.start(1)
	m.verify(one, 150)
	result, err := one.g.Forward(context.Background(), []byte("key00150"), contents("key00150", 2))
	if err != nil || result.(uint64) == 0 {
		t.Errorf("forwarded: %v, %v", result, err)
	}
	m.verify(one, 151)
}

// TestStateIsTakenOver brings in a member whose entries are gone from the log: it gets rows and
// content, and goes on from there, even after restarts.
func TestStateIsTakenOver(t *testing.T) {
	t.Parallel()
	m := newMany(t, 2)
	one, two := m.takeOver()
	if a := two.g.state.Side(); a != 1 {
		t.Errorf("the state is on side %d: it came by the log", a)
	}
	m.put(one, 400, 50)
	m.verify(two, 450)
	m.stop(two)
	two = m.start(2)
	m.verify(two, 450)
	m.put(m.leader(), 450, 10)
	m.verify(two, 460)
}

// takeOver returns a leader with 400 keys whose log is cut, and a member that has taken over its
// state.
func (m *many) takeOver() (one, two *member) {
	m.t.Helper()
	m.smallLog = true
	one = m.start(1)
	m.leader()
	m.put(one, 0, 400)
	m.until("the log has been cut", func() bool { // or is gone: 0
		first, err := one.g.log.FirstIndex()
		return err == nil && (first == 0 || first > 100)
	})
	two = m.start(2)
	m.grow(2)
	m.verify(two, 400)
	return one, two
}

// TestLease: a leader that is cut off no longer holds its group when another does, and its
// proposals are not acknowledged.
func TestLease(t *testing.T) {
	t.Parallel()
	m, one := newThree(t)
	m.put(one, 0, 10)
	term := one.g.Leading()
	if !one.g.Holds(term) {
		m.until("the lease", func() bool { return one.g.Holds(term) })
	}
	m.isolate(1, true)
	defer m.isolate(1, false)
	m.until("another leads", func() bool {
		for _, id := range []uint16{2, 3} {
			g := m.members[id].g
			if t := g.Leading(); t != 0 && g.Holds(t) {
				return true
			}
		}
		return false
	})
	if one.g.Holds(term) {
		t.Error("two members hold the group")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, err := one.g.Propose(ctx, []byte("lost"), nil); err == nil {
		t.Error("a deposed leader acknowledged a proposal")
	}
	m.isolate(1, false)
	m.until("member 1 follows", func() bool { l, ok := one.g.Leader(); return ok && l != 1 })
}

// TestTransfer hands a group over and back.
func TestTransfer(t *testing.T) {
	t.Parallel()
	m, one := newThree(t)
	m.put(one, 0, 10)
	if err := one.g.Transfer(context.Background(), 2); err != nil {
		t.Fatal(err)
	}
	if one.g.Leading() != 0 {
		t.Error("it still leads")
	}
	m.until("member 2 holds the group", func() bool {
		g := m.members[2].g
		return g.Holds(g.Leading())
	})
	for id, x := range m.members { // nothing was proposed since the election
		m.until(fmt.Sprintf("the state of member %d is fresh", id), x.g.Fresh)
	}
	m.until("it asks for it back", func() bool {
		return one.g.AskLeadership(context.Background()) == nil && one.g.Holds(one.g.Leading())
	})
	m.put(one, 10, 10)
	if err := one.g.Transfer(context.Background(), 9); err == nil {
		t.Error("handed over to nobody")
	}
	m.until("it holds the group again after a failed transfer",
		func() bool { return one.g.Holds(one.g.Leading()) })
}

// TestForceSingle: two of three are gone for good; the third goes on with what it has.
func TestForceSingle(t *testing.T) {
	t.Parallel()
	m, one := newThree(t)
	m.put(one, 0, 40)
	three := m.members[3]
	m.verify(three, 40)
	for _, x := range m.members {
		m.stop(x)
	}
	n, err := Open(Options{Dir: "/node", FS: three.fs, SegmentSize: inMemory})
	if err != nil {
		t.Fatal(err)
	}
	last, err := n.Group(HomeGroup).ForceSingle()
	if err != nil || last < 40 {
		t.Fatalf("seized with %d entries: %v", last, err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	three = m.start(3)
	if m.leader() != three {
		t.Fatal("another leads")
	}
	m.put(three, 40, 10)
	m.verify(three, 50)
}
