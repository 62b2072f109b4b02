package mail

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func startDNS(t *testing.T) *DNS {
	t.Helper()
	d, err := StartDNS("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func query(t *testing.T, d *DNS, network, name string, qtype uint16) (*dns.Msg, error) {
	t.Helper()
	c := dns.Client{Net: network, Timeout: 300 * time.Millisecond}
	m, _, err := c.Exchange(new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype), d.Addr())
	return m, err
}

// answers returns the records of an answer, without their head.
func answers(m *dns.Msg) string {
	var list []string
	for _, rr := range m.Answer {
		list = append(list, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	return strings.Join(list, ", ")
}

func TestDNSAnswers(t *testing.T) {
	d := startDNS(t)
	err := d.Add("example.net. 60 IN MX 10 mx1.example.net.",
		"example.net. 60 IN MX 20 mx2.example.net.",
		"alias.example.net. 60 IN CNAME example.net.",
		"*.many.example. 60 IN MX 5 mx.many.example.",
		`example.net. 60 IN TXT "v=spf1 -all"`, "loop.example. 60 IN CNAME loop.example.")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.AddMX("six.example", "mx.six.example", "192.0.2.1", "2001:db8::1"); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name  string
		qtype uint16
		rcode int
		want  string
	}{
		{"example.net", dns.TypeMX, dns.RcodeSuccess, "10 mx1.example.net., 20 mx2.example.net."},
		{"EXAMPLE.Net", dns.TypeTXT, dns.RcodeSuccess, `"v=spf1 -all"`},
		{"example.net", dns.TypeA, dns.RcodeSuccess, ""},
		{"alias.example.net", dns.TypeMX, dns.RcodeSuccess,
			"example.net., 10 mx1.example.net., 20 mx2.example.net."},
		{"d17.many.example", dns.TypeMX, dns.RcodeSuccess, "5 mx.many.example."},
		{"many.example", dns.TypeMX, dns.RcodeSuccess, ""},
		{"nothing.example.net", dns.TypeMX, dns.RcodeNameError, ""},
		{"mx.six.example", dns.TypeAAAA, dns.RcodeSuccess, "2001:db8::1"},
		{"mx.six.example", dns.TypeA, dns.RcodeSuccess, "192.0.2.1"},
	} {
		for _, network := range []string{"udp", "tcp"} {
			m, err := query(t, d, network, tc.name, tc.qtype)
			if err != nil {
				t.Fatalf("%s: %v", tc.name, err)
			}
			if m.Rcode != tc.rcode || answers(m) != tc.want {
				t.Errorf("%s %s: rcode %d, %q; want %d, %q", tc.name, dns.TypeToString[tc.qtype],
					m.Rcode, answers(m), tc.rcode, tc.want)
			}
		}
	}
	if _, err := query(t, d, "udp", "loop.example", dns.TypeMX); err != nil {
		t.Errorf("an alias of itself: %v", err)
	}
	if n := d.Asked("example.net", "MX"); n != 2 {
		t.Errorf("counted %d questions, want 2", n)
	}
	d.Remove("example.net")
	if m, err := query(t, d, "udp", "example.net", dns.TypeTXT); err != nil || len(m.Answer) != 0 {
		t.Errorf("after Remove: %v, %v", m, err)
	}
	if err := d.Add("this is no record"); err == nil {
		t.Error("nonsense was added")
	}
}

func TestDNSFaults(t *testing.T) {
	d := startDNS(t)
	if err := d.AddMX("example.net", "mx.example.net", "192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	timedOut := func(m *dns.Msg, err error) bool {
		var ne net.Error
		return errors.Is(err, os.ErrDeadlineExceeded) || (errors.As(err, &ne) && ne.Timeout())
	}
	for name, tc := range map[string]struct {
		fault   Fault
		network string
		ok      func(*dns.Msg, error) bool
	}{
		"servfail": {Fault{Rcode: ServFail}, "udp",
			func(m *dns.Msg, err error) bool {
				return err == nil &&
					m.Rcode == dns.RcodeServerFailure
			}},
		"nxdomain": {Fault{Rcode: NXDomain}, "udp",
			func(m *dns.Msg, err error) bool {
				return err == nil &&
					m.Rcode == dns.RcodeNameError
			}},
		"truncated": {Fault{Truncate: true}, "udp",
			func(m *dns.Msg, err error) bool {
				return err == nil && m.Truncated &&
					len(m.Answer) == 0
			}},
		"truncated, tcp": {Fault{Truncate: true}, "tcp",
			func(m *dns.Msg, err error) bool {
				return err == nil && !m.Truncated &&
					len(m.Answer) == 1
			}},
		// the client goes on waiting for the right one
		"wrong ID": {Fault{WrongID: true}, "udp", timedOut},
		"wrong question": {Fault{WrongQuestion: true}, "tcp",
			func(m *dns.Msg, err error) bool {
				return m != nil &&
					m.Question[0].Name == "other.example.net."
			}},
		"wrong type": {Fault{WrongType: true}, "tcp",
			func(m *dns.Msg, err error) bool {
				return m != nil &&
					m.Question[0].Qtype != dns.TypeMX
			}},
		"dropped": {Fault{Drop: true}, "udp", timedOut},
		"late":    {Fault{Delay: time.Second}, "udp", timedOut},
	} {
		d.Misbehave("example.net", "MX", tc.fault)
		if m, err := query(t, d, tc.network, "example.net", dns.TypeMX); !tc.ok(m, err) {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
	d.Misbehave("example.net", "MX", Fault{Rcode: ServFail, Times: 2})
	for i, want := range []int{dns.RcodeServerFailure, dns.RcodeServerFailure, dns.RcodeSuccess} {
		if m, err := query(t, d, "udp", "example.net", dns.TypeMX); err != nil || m.Rcode != want {
			t.Errorf("question %d: %v, %v", i, m, err)
		}
	}
}
