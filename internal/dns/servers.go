package dns

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// servers are the recursive resolvers we ask: those given, or those of resolv.conf, which is read
// again when it changes (a laptop changes networks).
type servers struct {
	first atomic.Int32 // the one that answered last
	fixed []string
	path  string
	mu    struct {
		sync.Mutex
		read    []string
		changed time.Time // of the file
		looked  time.Time
	}
}

const (
	maxServers = 3 // as the C library's MAXNS
	lookAgain  = 5 * time.Second
)

func newServers(given []string) (*servers, error) {
	s := &servers{path: "/etc/resolv.conf"}
	for _, g := range given {
		host, port, err := net.SplitHostPort(g)
		if err != nil {
			host, port = g, "53"
		}
		if _, err := netip.ParseAddr(host); err != nil {
			return nil, fmt.Errorf("DNS server %q: want an IP address and a port: %w", g, err)
		}
		s.fixed = append(s.fixed, net.JoinHostPort(host, port))
	}
	return s, nil
}

// CheckServers says what is wrong with a list of servers. What it lets pass New and SetServers
// take.
func CheckServers(given []string) error {
	_, err := newServers(given)
	return err
}

// list returns at least one server and the place of the one to begin with.
func (s *servers) list() ([]string, int) {
	l := s.fixed
	if l == nil {
		l = s.fromFile()
	}
	return l, int(s.first.Load()) % len(l)
}

// good notes that the i-th server answered.
func (s *servers) good(i int) { s.first.Store(int32(i)) }

func (s *servers) fromFile() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.mu.read != nil && now.Sub(s.mu.looked) < lookAgain {
		return s.mu.read
	}
	s.mu.looked = now
	if info, err := os.Stat(s.path); err == nil &&
		(s.mu.read == nil || !info.ModTime().Equal(s.mu.changed)) {
		s.mu.changed = info.ModTime()
		if l := parseResolvConf(s.path); len(l) > 0 {
			s.mu.read = l
		}
	}
	if s.mu.read == nil {
		s.mu.read = []string{"127.0.0.1:53", "[::1]:53"} // as the C library does without the file
	}
	return s.mu.read
}

func parseResolvConf(path string) (list []string) {
	conf, err := dns.ClientConfigFromFile(path)
	if err != nil {
		return nil
	}
	for _, s := range conf.Servers[:min(len(conf.Servers), maxServers)] {
		list = append(list, net.JoinHostPort(s, conf.Port))
	}
	return list
}
