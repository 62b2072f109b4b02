package admin

import (
	"net"
	"net/http"
	"net/netip"
	"sync"

	"golang.org/x/net/netutil"

	"github.com/postroad/postroad/operate/admin/api"
)

// Bounds of what strangers can tie up. Whoever asks whether the node lives, or reads its metrics,
// is answered however many requests of others are stuck.
const (
	maxConns   = 1024 // connections at a time, for each listener; more wait to be accepted
	maxAddress = 128  // of them, those of one address
	maxWork    = 64   // requests under way at a time, for each listener, but health and metrics
)

// bounded keeps the number of connections of each listener, and of each address, in bounds.
func bounded(l net.Listener) net.Listener {
	return netutil.LimitListener(&addressLimit{Listener: l, open: map[netip.Addr]int{}}, maxConns)
}

// addressLimit closes connections of an address that has too many. Those that have no address, as
// of a unix socket, are not counted.
type addressLimit struct {
	net.Listener
	mu   sync.Mutex
	open map[netip.Addr]int
}

// Accept implements net.Listener.
func (l *addressLimit) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		tcp, ok := c.RemoteAddr().(*net.TCPAddr)
		if !ok {
			return c, nil
		}
		from := tcp.AddrPort().Addr().Unmap()
		if l.enter(from) {
			return &countedConn{Conn: c, leave: sync.OnceFunc(func() { l.leave(from) })}, nil
		}
		c.Close()
	}
}

func (l *addressLimit) enter(from netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[from] >= maxAddress {
		return false
	}
	l.open[from]++
	return true
}

func (l *addressLimit) leave(from netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[from]--; l.open[from] == 0 {
		delete(l.open, from)
	}
}

// countedConn leaves when it is closed.
type countedConn struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	c.leave()
	return c.Conn.Close()
}

// bounding lets so many requests work at a time. One more is refused, not kept waiting.
func bounding(h http.Handler) http.Handler {
	work := make(chan struct{}, maxWork)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/livez", "/readyz", "/metrics":
			h.ServeHTTP(w, r)
			return
		}
		select {
		case work <- struct{}{}:
			defer func() { <-work }()
			h.ServeHTTP(w, r)
		default:
			refuse(w, api.Fail(api.ExitTemporary, "too many requests are under way", "try again"))
		}
	})
}
