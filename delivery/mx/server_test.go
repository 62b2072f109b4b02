package mx

import (
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// testServer is a DNS server on loopback, UDP and TCP on one port, that answers from a zone text;
// behaviours replace the answer for one name.
type testServer struct {
	addr      string
	asked     atomic.Int64
	tcp       atomic.Int64
	mu        sync.Mutex
	rrs       map[string][]dns.RR
	behaviour map[string]dns.HandlerFunc
}

const soa = "example. 300 IN SOA ns.example. root.example. 1 2 3 4 60"

func serveDNS(t testing.TB, zone string) *testServer {
	t.Helper()
	s := &testServer{rrs: map[string][]dns.RR{}, behaviour: map[string]dns.HandlerFunc{}}
	p := dns.NewZoneParser(strings.NewReader(zone), "example.", "")
	p.SetDefaultTTL(300)
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		name := strings.ToLower(rr.Header().Name)
		s.rrs[name] = append(s.rrs[name], rr)
	}
	if err := p.Err(); err != nil {
		t.Fatal(err)
	}
	pc, l := listenBoth(t)
	s.addr = pc.LocalAddr().String()
	var up sync.WaitGroup
	up.Add(2)
	for _, srv := range []*dns.Server{
		{PacketConn: pc, Handler: dns.HandlerFunc(s.serve), NotifyStartedFunc: up.Done},
		{Listener: l, Handler: dns.HandlerFunc(s.serve), NotifyStartedFunc: up.Done},
	} {
		go srv.ActivateAndServe()
		t.Cleanup(func() { srv.Shutdown() })
	}
	up.Wait()
	return s
}

// listenBoth finds a port free for both.
func listenBoth(t testing.TB) (net.PacketConn, net.Listener) {
	for range 20 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		pc, err := net.ListenPacket("udp", l.Addr().String())
		if err == nil {
			return pc, l
		}
		l.Close()
	}
	t.Fatal("no port free for UDP and TCP")
	return nil, nil
}

func (s *testServer) behave(name string, h dns.HandlerFunc) {
	s.mu.Lock()
	s.behaviour[name+"."] = h
	s.mu.Unlock()
}

func (s *testServer) serve(w dns.ResponseWriter, q *dns.Msg) {
	s.asked.Add(1)
	if w.RemoteAddr().Network() == "tcp" {
		s.tcp.Add(1)
	}
	s.mu.Lock()
	h := s.behaviour[strings.ToLower(q.Question[0].Name)]
	s.mu.Unlock()
	if h != nil {
		h(w, q)
		return
	}
	w.WriteMsg(s.answer(q))
}

// answer is that of a recursive server: CNAMEs followed, SOA in negative answers, TC over UDP when
// it does not fit.
func (s *testServer) answer(q *dns.Msg) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(q)
	m.RecursionAvailable = true
	name := strings.ToLower(q.Question[0].Name)
	for range 10 {
		rrs, ok := s.rrs[name]
		next := ""
		for _, rr := range rrs {
			if rr.Header().Rrtype == q.Question[0].Qtype {
				m.Answer = append(m.Answer, rr)
			} else if c, ok := rr.(*dns.CNAME); ok {
				m.Answer = append(m.Answer, rr)
				next = strings.ToLower(c.Target)
			}
		}
		if next != "" {
			name = next
			continue
		}
		if !ok {
			m.Rcode = dns.RcodeNameError
		}
		break
	}
	if len(m.Answer) == 0 || m.Rcode != 0 {
		rr, _ := dns.NewRR(soa)
		m.Ns = append(m.Ns, rr)
	}
	return m
}

func rcode(code int) dns.HandlerFunc {
	return func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetRcode(q, code)
		w.WriteMsg(m)
	}
}

func silence(dns.ResponseWriter, *dns.Msg) {}

func newTest(t testing.TB, s *testServer, change func(*Options)) *Resolver {
	t.Helper()
	o := Options{Servers: []string{s.addr}, Timeout: 2 * time.Second, IPv6: func() bool { return true }}
	if change != nil {
		change(&o)
	}
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func look(t testing.TB, r *Resolver, domain string) (route *Route, failure string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	route, f := r.Lookup(ctx, domain)
	if (route == nil) == (f == nil) {
		t.Fatalf("Lookup(%q) = %v, %v: want one of the two", domain, route, f)
	}
	if f != nil {
		return nil, f.Enhanced
	}
	return route, ""
}
