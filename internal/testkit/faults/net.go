package faults

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// State is how one direction between two nodes is.
type State uint8

// The states of a direction.
const (
	Open State = iota
	// octets wait, as behind a switch that has hung: connections live on and what was sent comes
	// later
	Stalled
	Cut // connections are reset and new ones refused
)

func (s State) String() string { return [...]string{"open", "stalled", "cut"}[s] }

// link is one direction between two nodes, by their numbers.
type link struct{ from, to int }

// Net is the network between the cluster ports of nodes. Each node is reached through a proxy; who
// dials is told by the address that it dials from. Its methods may be called on any goroutine.
type Net struct {
	relays sync.WaitGroup
	meter  meter

	mu struct {
		sync.Mutex
		closed  bool
		nodes   map[netip.Addr]int // by the address that they dial from
		proxies []net.Listener
		links   map[link]State // without a row: Open
		changed chan struct{}  // closed and replaced with each change
		conns   map[*relay]struct{}
	}
}

// maxRelays bounds the connections between nodes; more are refused, which a test notices.
const maxRelays = 4096

// NewNet returns a network without nodes.
func NewNet() *Net {
	n := &Net{}
	n.mu.nodes = map[netip.Addr]int{}
	n.mu.links = map[link]State{}
	n.mu.changed = make(chan struct{})
	n.mu.conns = map[*relay]struct{}{}
	return n
}

// Join puts a node on the network: it dials from host, and who dials front comes to its cluster
// port at target.
func (n *Net) Join(node int, host netip.Addr, front, target string) error {
	l, err := net.Listen("tcp", front)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.closed {
		return errors.Join(errors.New("the network is closed"), l.Close())
	}
	n.mu.nodes[host] = node
	n.mu.proxies = append(n.mu.proxies, l)
	n.relays.Go(func() { n.accept(l, node, target) })
	return nil
}

// Set changes one direction.
func (n *Net) Set(from, to int, s State) { n.change(map[link]State{{from, to}: s}) }

// Partition gives the directions between nodes of different groups the state s, and opens those
// within a group. Nodes that are in no group are left alone.
func (n *Net) Partition(s State, groups ...[]int) {
	links := map[link]State{}
	for i, a := range groups {
		for j, b := range groups {
			for _, from := range a {
				for _, to := range b {
					links[link{from, to}] = Open
					if i != j {
						links[link{from, to}] = s
					}
				}
			}
		}
	}
	n.change(links)
}

// Heal opens everything.
func (n *Net) Heal() {
	n.mu.Lock()
	clear(n.mu.links)
	n.announceLocked()
	n.mu.Unlock()
}

// Reaches reports whether octets go from one node to another.
func (n *Net) Reaches(from, to int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.links[link{from, to}] == Open
}

// change sets directions, all at once, and resets the connections that are cut.
func (n *Net) change(links map[link]State) {
	n.mu.Lock()
	for l, s := range links {
		n.mu.links[l] = s
	}
	var cut []*relay
	for r := range n.mu.conns {
		if n.cutLocked(r.dialler, r.dialled) {
			cut = append(cut, r)
		}
	}
	n.announceLocked()
	n.mu.Unlock()
	for _, r := range cut {
		r.reset()
	}
}

func (n *Net) announceLocked() {
	close(n.mu.changed)
	n.mu.changed = make(chan struct{})
}

// cutLocked: a connection needs both directions.
func (n *Net) cutLocked(a, b int) bool {
	return n.mu.links[link{a, b}] == Cut || n.mu.links[link{b, a}] == Cut
}

// pass waits until octets may go from one node to another; false: the connection or the network has
// ended.
func (n *Net) pass(l link, gone <-chan struct{}) bool {
	for {
		n.mu.Lock()
		open, closed, changed := n.mu.links[l] == Open, n.mu.closed, n.mu.changed
		n.mu.Unlock()
		if closed || open {
			return open && !closed
		}
		select {
		case <-changed:
		case <-gone:
			return false
		}
	}
}

// Close ends the network and all connections.
func (n *Net) Close() {
	n.mu.Lock()
	n.mu.closed = true
	for _, l := range n.mu.proxies {
		l.Close()
	}
	for r := range n.mu.conns {
		r.reset()
	}
	n.announceLocked()
	n.mu.Unlock()
	n.relays.Wait()
}

// accept takes connections for one node.
func (n *Net) accept(l net.Listener, node int, target string) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // descriptors, for one: the dialler tries again
			time.Sleep(10 * time.Millisecond)
			continue
		}
		n.relays.Go(func() { n.relay(c.(*net.TCPConn), node, target) })
	}
}
