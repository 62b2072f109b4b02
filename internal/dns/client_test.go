package dns

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	dnstest "github.com/postroad/postroad/internal/testkit/dns"
)

const zone = `
two        IN MX 10 a.two
two        IN MX 20 b.two
implicit   IN A 203.0.113.3
`

func newTest(t testing.TB, timeout time.Duration, servers ...*dnstest.Server) *Client {
	t.Helper()
	o := Options{Timeout: timeout}
	for _, s := range servers {
		o.Servers = append(o.Servers, s.Addr)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// askText asks, and returns the answer as text.
func askText(t testing.TB, c *Client, name string, qtype Type) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	a := c.Ask(ctx, name, qtype)
	if a.Outcome != Exists {
		return [...]string{Failed: "failed", NoData: "no data", NoName: "no name"}[a.Outcome]
	}
	var out []string
	for _, x := range a.MX {
		out = append(out, fmt.Sprintf("%d %s", x.Pref, x.Host))
	}
	for _, addr := range a.Addrs {
		out = append(out, addr.String())
	}
	return strings.Join(out, ", ")
}

const both = "10 a.two.example, 20 b.two.example"

// An answer to another question, with another ID, class or type, or with no question at all is as
// if it had not come.
func TestForgedAnswersAreIgnored(t *testing.T) {
	s := dnstest.Serve(t, zone)
	for name, forge := range map[string]func(m *dns.Msg){
		"id":    func(m *dns.Msg) { m.Id++ },
		"name":  func(m *dns.Msg) { m.Question[0].Name = "victim.example." },
		"type":  func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeTXT },
		"class": func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS },
		"query": func(m *dns.Msg) { m.Response = false },
		"empty": func(m *dns.Msg) { m.Question = nil },
		"two":   func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) },
		"nxdomain": func(m *dns.Msg) {
			m.Id ^= 0xffff
			m.Rcode = dns.RcodeNameError
			m.Answer = nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			s.Behave("two.example", func(w dns.ResponseWriter, q *dns.Msg) {
				m := new(dns.Msg)
				m.SetReply(q)
				m.Answer = []dns.RR{rr("two.example. 300 IN MX 1 evil.example.")}
				forge(m)
				w.WriteMsg(m)
				w.Write([]byte{1, 2, 3})
				w.WriteMsg(s.Answer(q))
			})
			r := newTest(t, 2*time.Second, s)
			if got := askText(t, r, "two.example", TypeMX); got != both {
				t.Fatal(got)
			}
			if n := r.Stats().Mismatched; n != 2 {
				t.Fatalf("%d mismatched datagrams counted, want 2", n)
			}
		})
	}
}

// Records in an answer that are about another name are nobody's.
func TestForeignRecordsAreIgnored(t *testing.T) {
	s := dnstest.Serve(t, zone)
	s.Behave("implicit.example", func(w dns.ResponseWriter, q *dns.Msg) {
		m := s.Answer(q)
		m.Answer = append([]dns.RR{rr("other.example. 300 IN MX 1 evil.example."),
			rr("implicit.example. 300 CH MX 1 evil.example."),
			rr("other.example. 300 IN A 203.0.113.66")}, m.Answer...)
		w.WriteMsg(m)
	})
	if got := askText(t, newTest(t, 2*time.Second, s), "implicit.example",
		TypeA); got != "203.0.113.3" {
		t.Fatal(got)
	}
}

func rr(s string) dns.RR {
	r, err := dns.NewRR(s)
	if err != nil {
		panic(err)
	}
	return r
}

// Somebody who floods the socket with guesses only moves the question to TCP.
func TestGuessesMoveTheQuestionToTCP(t *testing.T) {
	s := dnstest.Serve(t, zone)
	s.Behave("two.example", func(w dns.ResponseWriter, q *dns.Msg) {
		if w.RemoteAddr().Network() == "tcp" {
			w.WriteMsg(s.Answer(q))
			return
		}
		for i := range maxMismatched {
			m := new(dns.Msg)
			m.SetReply(q)
			m.Id += uint16(i + 1)
			w.WriteMsg(m)
		}
	})
	r := newTest(t, 2*time.Second, s)
	if got := askText(t, r, "two.example", TypeMX); got != both {
		t.Fatal(got)
	}
	if st := r.Stats(); st.TCP != 1 {
		t.Fatalf("%+v", st)
	}
}

func TestTruncatedAnswersAreAskedForByTCP(t *testing.T) {
	s := dnstest.Serve(t, zone)
	s.Behave("two.example", func(w dns.ResponseWriter, q *dns.Msg) {
		if q.IsEdns0() == nil || q.IsEdns0().UDPSize() != ednsSize {
			t.Errorf("EDNS: %v", q.IsEdns0())
		}
		m := s.Answer(q)
		if w.RemoteAddr().Network() == "udp" {
			m.Truncated, m.Answer = true, m.Answer[:1]
		}
		w.WriteMsg(m)
	})
	r := newTest(t, 2*time.Second, s)
	if got := askText(t, r, "two.example", TypeMX); got != both {
		t.Fatal(got)
	}
	if s.TCP.Load() != 1 {
		t.Fatalf("%d questions by TCP, want 1", s.TCP.Load())
	}
}

func TestServerWithoutEDNS(t *testing.T) {
	for name, bare := range map[string]bool{"bare header": true, "with question": false} {
		t.Run(name, func(t *testing.T) {
			s := dnstest.Serve(t, zone)
			s.Behave("two.example", func(w dns.ResponseWriter, q *dns.Msg) {
				if q.IsEdns0() == nil {
					w.WriteMsg(s.Answer(q))
					return
				}
				m := new(dns.Msg)
				m.SetRcode(q, dns.RcodeFormatError)
				if bare {
					m.Question = nil
				}
				w.WriteMsg(m)
			})
			if got := askText(t, newTest(t, 2*time.Second, s), "two.example", TypeMX); got != both {
				t.Fatal(got)
			}
		})
	}
}

// TestTCPWithoutEDNS: a server that knows EDNS by UDP only, or not at all, is asked by TCP without.
func TestTCPWithoutEDNS(t *testing.T) {
	for name, shy := range map[string]dns.HandlerFunc{
		"FORMERR":  dnstest.Rcode(dns.RcodeFormatError),
		"hangs up": func(w dns.ResponseWriter, _ *dns.Msg) { w.Close() },
	} {
		for _, network := range []string{"tcp", "udp"} { // from which on it does not like EDNS
			t.Run(name+" over "+network, func(t *testing.T) {
				s := dnstest.Serve(t, zone)
				s.Behave("two.example", func(w dns.ResponseWriter, q *dns.Msg) {
					over := w.RemoteAddr().Network()
					m := s.Answer(q)
					switch {
					case q.IsEdns0() != nil && over == "udp" && network == "udp":
						m = new(dns.Msg).SetRcode(q, dns.RcodeFormatError)
					case q.IsEdns0() != nil && over == "tcp":
						shy(w, q)
						return
					case over == "udp":
						m.Truncated, m.Answer = true, m.Answer[:1]
					}
					w.WriteMsg(m)
				})
				r := newTest(t, 2*time.Second, s)
				if got := askText(t, r, "two.example", TypeMX); got != both {
					t.Fatal(got)
				}
			})
		}
	}
}

// A silent server, one that refuses and one that refers elsewhere each lead to the next server,
// which is then asked first.
func TestNextServer(t *testing.T) {
	for name, h := range map[string]dns.HandlerFunc{"silent": dnstest.Silence,
		"refused": dnstest.Rcode(dns.RcodeRefused), "referral": refer} {
		t.Run(name, func(t *testing.T) {
			bad, good := dnstest.Serve(t, zone), dnstest.Serve(t, zone)
			for _, n := range []string{"two.example", "implicit.example"} {
				bad.Behave(n, h)
			}
			// Long enough for the good one on a busy machine.
			r := newTest(t, 250*time.Millisecond, bad, good)
			if got := askText(t, r, "two.example", TypeMX); got != both {
				t.Fatal(got)
			}
			before := bad.Asked.Load()
			askText(t, r, "implicit.example", TypeA)
			if bad.Asked.Load() != before {
				t.Fatal("the bad server was asked first again")
			}
		})
	}
}

func refer(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(q)
	m.Ns = []dns.RR{rr("example. 300 IN NS ns.example.")}
	w.WriteMsg(m)
}

func TestResolvConf(t *testing.T) {
	r, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	r.servers.Load().path = t.TempDir() + "/none"
	if l, _ := r.servers.Load().list(); len(l) != 2 || l[0] != "127.0.0.1:53" {
		t.Fatal(l)
	}
	if _, err := New(Options{Servers: []string{"dns.example:53"}}); err == nil {
		t.Fatal("a name was taken for a DNS server")
	}
}

// FuzzAnswer gives the client's logic whatever bytes may come. It must not panic, must accept only
// what answers the question, and must come to a bounded answer.
func FuzzAnswer(f *testing.F) {
	q := question("two.example.", TypeMX, true)
	q.Id = 0x1234
	seed := func(change func(m *dns.Msg), rrs ...string) {
		m := new(dns.Msg)
		m.SetReply(q)
		for _, s := range rrs {
			m.Answer = append(m.Answer, rr(s))
		}
		change(m)
		wire, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire, uint16(dns.TypeMX))
		f.Add(wire, uint16(dns.TypeA))
	}
	keep := func(*dns.Msg) {}
	seed(keep, "two.example. 300 IN MX 10 a.two.example.", "two.example. 300 IN MX 20 me.example.")
	seed(keep, "two.example. 300 IN MX 0 .")
	seed(keep, "two.example. 300 IN CNAME x.example.", "x.example. 300 IN MX 1 10.0.0.1.")
	seed(keep, "two.example. 300 IN CNAME two.example.")
	seed(keep, "two.example. 300 IN A 127.0.0.1", "two.example. 300 IN AAAA ::ffff:10.0.0.1",
		"two.example. 0 IN A 203.0.113.1")
	seed(func(m *dns.Msg) { m.Rcode = dns.RcodeNameError; m.Ns = []dns.RR{rr(dnstest.SOA)} })
	seed(func(m *dns.Msg) { m.Id++ }, "two.example. 300 IN MX 1 evil.example.")
	seed(func(m *dns.Msg) { m.Question[0].Name = "three.example." },
		"two.example. 300 IN MX 1 evil.example.")
	seed(func(m *dns.Msg) { m.Truncated = true })

	f.Fuzz(func(t *testing.T, wire []byte, qtype uint16) {
		q := question("two.example.", Type(qtype), true)
		q.Id = 0x1234
		m, err := accept(wire, q)
		if err != nil {
			if m != nil {
				t.Fatal("a message beside an error")
			}
			return
		}
		if got := m.Question[0]; binary.BigEndian.Uint16(wire) != 0x1234 || !m.Response ||
			len(m.Question) != 1 ||
			!strings.EqualFold(got.Name, "two.example.") || got.Qtype != qtype ||
			got.Qclass != dns.ClassINET {
			t.Fatalf("accepted %v", m)
		}
		a := read(m, "two.example.", Type(qtype))
		if len(a.MX)+len(a.Addrs) > maxRecords || a.TTL < 0 ||
			(a.Outcome == Exists) != (len(a.MX)+len(a.Addrs) > 0) {
			t.Fatalf("%+v", a)
		}
	})
}

// TestNobodyAnswers: a question that no server says anything to is counted, for whoever watches;
// one that a server answers, be it that it cannot, is not.
func TestNobodyAnswers(t *testing.T) {
	good, silent := dnstest.Serve(t, zone), dnstest.Serve(t, zone)
	silent.Behave("two.example", dnstest.Silence)
	good.Behave("implicit.example", dnstest.Rcode(dns.RcodeServerFailure))
	r := newTest(t, 20*time.Millisecond, silent)
	askText(t, r, "two.example", TypeMX)
	if n := r.Stats().Unanswered; n != 1 {
		t.Errorf("%d questions without any answer, want 1", n)
	}
	gone, err := New(Options{Servers: []string{"127.0.0.1:1"}, Timeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	askText(t, gone, "two.example", TypeMX)
	if n := gone.Stats().Unanswered; n != 1 {
		t.Errorf("%d questions without any answer where nobody listens, want 1", n)
	}
	r = newTest(t, time.Second, good)
	askText(t, r, "implicit.example", TypeA)
	askText(t, r, "two.example", TypeMX)
	if n := r.Stats().Unanswered; n != 0 {
		t.Errorf("%d questions without any answer, want 0", n)
	}
}
