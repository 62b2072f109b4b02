package faults

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// relay is one connection through the network.
type relay struct {
	dialler, dialled int
	near, far        *net.TCPConn // to the dialler and to the dialled
	gone             chan struct{}
	once             sync.Once
}

const (
	dialTimeout  = 5 * time.Second
	relayBuffer  = 64 << 10
	lingerToDrop = 0 // SO_LINGER: close by a reset
)

// relay carries one connection until it ends. Who dials from an address that no node has is
// refused.
func (n *Net) relay(near *net.TCPConn, dialled int, target string) {
	dialler, ok := n.who(near)
	if !ok || !n.allowed(dialler, dialled) {
		near.SetLinger(lingerToDrop)
		near.Close()
		return
	}
	c, err := net.DialTimeout("tcp", target, dialTimeout)
	if err != nil { // the node is not running
		near.SetLinger(lingerToDrop)
		near.Close()
		return
	}
	r := &relay{dialler: dialler, dialled: dialled, near: near, far: c.(*net.TCPConn),
		gone: make(chan struct{})}
	if !n.add(r) {
		r.reset()
		return
	}
	defer n.remove(r)
	var pumps sync.WaitGroup
	pumps.Go(func() { n.pump(r, link{dialler, dialled}, r.near, r.far) })
	pumps.Go(func() { n.pump(r, link{dialled, dialler}, r.far, r.near) })
	pumps.Wait()
	r.reset()
}

// who tells the node that dials.
func (n *Net) who(c *net.TCPConn) (int, bool) {
	a, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return 0, false
	}
	addr, _ := netip.AddrFromSlice(a.IP)
	n.mu.Lock()
	defer n.mu.Unlock()
	node, ok := n.mu.nodes[addr.Unmap()]
	return node, ok
}

func (n *Net) allowed(dialler, dialled int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.mu.closed && !n.cutLocked(dialler, dialled)
}

func (n *Net) add(r *relay) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.closed || len(n.mu.conns) >= maxRelays || n.cutLocked(r.dialler, r.dialled) {
		return false
	}
	n.mu.conns[r] = struct{}{}
	return true
}

func (n *Net) remove(r *relay) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.mu.conns, r)
}

// pump moves octets one way while the direction is open. It reads before it waits, so that an end
// of the connection is seen in a stall too, and holds at most one buffer: the rest waits in the
// sockets.
func (n *Net) pump(r *relay, l link, from, to *net.TCPConn) {
	buf := make([]byte, relayBuffer)
	for {
		k, err := from.Read(buf)
		if k > 0 {
			if !n.pass(l, r.gone) {
				break
			}
			if _, err := to.Write(buf[:k]); err != nil {
				break
			}
			n.meter.passed(l, k, r.gone)
			continue
		}
		if err != nil {
			if n.pass(l, r.gone) {
				to.CloseWrite() // the other way may still have something to say
				return
			}
			break
		}
	}
	r.reset()
}

// reset ends the connection on both sides without a farewell.
func (r *relay) reset() {
	r.once.Do(func() {
		close(r.gone)
		for _, c := range []*net.TCPConn{r.near, r.far} {
			c.SetLinger(lingerToDrop)
			c.Close()
		}
	})
}
