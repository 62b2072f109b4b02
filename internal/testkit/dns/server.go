// Package dns is a name server for tests that answers from a zone text, and otherwise where told
// to.
package dns

import (
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"
)

// Server is a recursive resolver on loopback, UDP and TCP on one port. Its methods may be called on
// any goroutine.
type Server struct {
	Addr      string       // host:port
	Asked     atomic.Int64 // questions
	TCP       atomic.Int64 // of these by TCP
	mu        sync.Mutex
	rrs       map[string][]dns.RR
	behaviour map[string]dns.HandlerFunc
}

// SOA is in the negative answers.
const SOA = "example. 300 IN SOA ns.example. root.example. 1 2 3 4 60"

// Serve starts a server until the test ends. The names of zone are below example.
func Serve(t testing.TB, zone string) *Server {
	t.Helper()
	s := &Server{rrs: map[string][]dns.RR{}, behaviour: map[string]dns.HandlerFunc{}}
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
	s.Addr = pc.LocalAddr().String()
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

// Behave replaces the answers about one name.
func (s *Server) Behave(name string, h dns.HandlerFunc) {
	s.mu.Lock()
	s.behaviour[name+"."] = h
	s.mu.Unlock()
}

func (s *Server) serve(w dns.ResponseWriter, q *dns.Msg) {
	s.Asked.Add(1)
	if w.RemoteAddr().Network() == "tcp" {
		s.TCP.Add(1)
	}
	s.mu.Lock()
	h := s.behaviour[strings.ToLower(q.Question[0].Name)]
	s.mu.Unlock()
	if h != nil {
		h(w, q)
		return
	}
	w.WriteMsg(s.Answer(q))
}

// Answer is that of a recursive server: CNAMEs followed, SOA in negative answers, TC over UDP when
// it does not fit.
func (s *Server) Answer(q *dns.Msg) *dns.Msg {
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
		rr, _ := dns.NewRR(SOA)
		m.Ns = append(m.Ns, rr)
	}
	return m
}

// Rcode answers with a response code.
func Rcode(code int) dns.HandlerFunc {
	return func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetRcode(q, code)
		w.WriteMsg(m)
	}
}

// Silence does not answer.
func Silence(dns.ResponseWriter, *dns.Msg) {}

// Hold answers about one name as the zone says, after it told arrived and once gate is
// closed.
func (s *Server) Hold(name string, arrived chan<- string, gate <-chan struct{}) {
	s.Behave(name, func(w dns.ResponseWriter, q *dns.Msg) {
		arrived <- q.Question[0].Name
		<-gate
		w.WriteMsg(s.Answer(q))
	})
}

// Pack makes the question about a name, in the form that goes over the wire.
func Pack(name string) ([]byte, error) {
	return new(dns.Msg).SetQuestion(dns.CanonicalName(name), dns.TypeMX).Pack()
}
