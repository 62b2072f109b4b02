package sink

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/postroad/postroad/bench/record"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// step is one that a rule can be asked about.
func step(at int) *mailtest.Step {
	return &mailtest.Step{
		At: mailtest.At(at), Session: 1, Remote: netip.MustParseAddrPort("127.0.0.1:4000"),
		Sender:    "s@x.example",
		Recipient: "r@a.example", Recipients: []string{"r@a.example"},
	}
}

// send sends n messages of the generator, and returns the generator's record.
func send(t *testing.T, s *Server, n int, o mailtest.SendOptions) *record.SentLog {
	t.Helper()
	g := mailtest.Generator{Seed: 1, Run: "sink", Domains: []string{"a.example", "b.example"},
		MaxSize: 20 << 10}
	o.Addr, o.Connections, o.Count, o.Message, o.Pipelining = s.Addr(), 4, n, g.Message, true
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := mailtest.Send(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	l := record.NewSentLog()
	for i := range r.Sent {
		m := &r.Sent[i]
		e := record.Sent{ID: m.ID, Sum: m.Sum, Size: int64(m.Size), Begun: m.At.Add(-m.Took),
			Ended: m.At}
		for _, a := range m.Accepted {
			e.Recipients = append(e.Recipients,
				record.Recipient{Address: a, Outcome: record.Accepted, Code: 250})
		}
		for _, a := range m.Refused {
			e.Recipients = append(e.Recipients,
				record.Recipient{Address: a.Recipient, Outcome: record.Refused, Code: 550})
		}
		if err := l.Add(&e); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// TestAccountsForAll: what was sent is compared with the record, in memory and from a file; and a
// message that is left out of the record is found.
func TestAccountsForAll(t *testing.T) {
	const n = 300
	for _, drop := range []int{0, 100} {
		var file bytes.Buffer
		for _, o := range []Options{{Drop: drop}, {Drop: drop, Record: &file, Loops: 2}} {
			s := startServer(t, "", o)
			sent := send(t, s, n, mailtest.SendOptions{})
			received := s.Records()
			if o.Record != nil {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				var err error
				if received, err = record.ReadReceived(&file); err != nil {
					t.Fatal(err)
				}
			}
			r := record.Check(sent, received, record.Rules{})
			if r.Messages != n || (r.Lost.N > 0) != (drop > 0) || r.OK() != (drop == 0) ||
				r.Received != n-min(drop, 1) {
				t.Errorf("drop %d: %v", drop, r)
			}
		}
	}
}

// TestRefusalsAreAccountedFor: a recipient that a rule refuses is refused on both sides.
func TestRefusalsAreAccountedFor(t *testing.T) {
	s := startServer(t,
		"[[rule]]\ndomain = [\"b.example\"]\ndo = [{at = \"rcpt\", share = \"30%\", reply = "+
			"\"550 5.1.1 no\"}, {at = \"end\", share = \"20%\", reply = \"554 5.6.0 no\"}]",
		Options{})
	r := record.Check(send(t, s, 300, mailtest.SendOptions{}), s.Records(), record.Rules{})
	if !r.OK() || r.Refused.N < 20 || r.Acknowledged != r.Delivered || r.Acknowledged < 150 {
		t.Errorf("%v", r)
	}
	if len(r.Domains) != 2 || r.Domains[0].Domain != "a.example" ||
		r.Domains[0].Messages <= r.Domains[1].Messages {
		t.Errorf("rates: %+v", r.Domains)
	}
}

func TestWaitResetAndCounts(t *testing.T) {
	s := startServer(t, "", Options{Count: true})
	send(t, s, 10, mailtest.SendOptions{})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Wait(ctx, 10); err != nil {
		t.Fatal(err)
	}
	if c := s.Counts(); c.Messages != 10 || c.Octets < 10*4096 || c.Connects < 1 ||
		c.Connects > 4 || s.Records().Len() != 0 {
		t.Errorf("%+v, %d recorded", c, s.Records().Len())
	}
	s.Reset()
	cancel()
	if err := s.Wait(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait after Reset: %v", err)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("disk full") }

// TestStartFails: what cannot be had is told, and what was started is stopped.
func TestStartFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for want, o := range map[string]Options{
		"address already in use": {Listen: []string{"127.0.0.1:0", l.Addr().String()}},
		"disk full":              {Record: broken{}},
		"record \"nonsense\"": {DNS: "127.0.0.1:0",
			Config: &Config{Records: []string{"nonsense"}}},
		"rule[0].do[0]": {Config: &Config{Rules: []Rule{{Do: []Do{{At: "rcpt"}}}}}},
	} {
		if s, err := Start(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, %v; want %s", s, err, want)
		}
	}
}

const zoneConfig = `
	policy_address = "127.0.0.1:0"
	records = ["extra.example. 60 IN TXT \"more\""]
	[[listen]]
	address = "127.0.0.1:0"
	host = "mx1.a.example"
	certificate = "good"
	tlsa = "good"
	[[listen]]
	address = "127.0.0.2:0"
	host = "mx2.a.example"
	certificate = "expired"
	tlsa = "mismatch"
	[[listen]]
	address = "127.0.0.1:0"
	host = "mx3.a.example"
	certificate = "wrong-name"
	[[listen]]
	address = "127.0.0.1:0"
	host = "mx4.a.example"
	certificate = "self-signed"
	[[domain]]
	name = "a.example"
	mx = ["mx1.a.example", "mx2.a.example"]
	txt = ["v=spf1 -all", "a \"quoted\" text"]
	mta_sts = "enforce"
	[[domain]]
	name = "null.example"
	mx = ["."]`

// ask asks the sink's name server.
func ask(t *testing.T, s *Server, name, kind string) string {
	t.Helper()
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.StringToType[kind])
	in, err := dns.Exchange(m, s.DNS().Addr())
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, rr := range in.Answer {
		all = append(all, strings.Join(strings.Fields(rr.String())[4:], " "))
	}
	return strings.Join(all, ", ")
}

func TestZone(t *testing.T) {
	s := startServer(t, zoneConfig, Options{DNS: "127.0.0.1:0"})
	tlsa := func(i int) (name string, key string) {
		port := netip.MustParseAddrPort(s.Addrs()[i]).Port()
		return fmt.Sprintf("_%d._tcp.mx%d.a.example", port, i+1),
			fmt.Sprintf("%x", sha256.Sum256(s.certs[i].RawSubjectPublicKeyInfo))
	}
	good, key := tlsa(0)
	bad, otherKey := tlsa(1)
	for _, c := range []struct{ name, kind, want string }{
		{"a.example", "MX", "10 mx1.a.example., 20 mx2.a.example."},
		{"null.example", "MX", "0 ."},
		{"a.example", "TXT", `"v=spf1 -all", "a \"quoted\" text"`},
		{"mx2.a.example", "A", "127.0.0.2"},
		{"_mta-sts.a.example", "TXT", fmt.Sprintf(`"v=STSv1; id=%d;"`, s.started.Unix())},
		{"mta-sts.a.example", "A", "127.0.0.1"},
		{"extra.example", "TXT", `"more"`},
		{good, "TLSA", "3 1 1 " + key},
	} {
		if got := ask(t, s, c.name, c.kind); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.name, c.kind, got, c.want)
		}
	}
	if got := ask(t, s, bad, "TLSA"); !strings.HasPrefix(got, "3 1 1 ") ||
		strings.Contains(got, otherKey) {
		t.Errorf("a TLSA record that is not to fit: %q of %q", got, otherKey)
	}
}

// TestCertificates: each kind is what a client takes it for.
func TestCertificates(t *testing.T) {
	s := startServer(t, zoneConfig, Options{})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.Authority())
	for i, want := range []string{"", "expired", "not mx3.a.example", "unknown authority"} {
		talk := play(t, "127.0.0.1", s.Addrs()[i], hello+"> STARTTLS\n< 220\n")
		c := tls.Client(talk.Conn,
			&tls.Config{RootCAs: roots, ServerName: fmt.Sprintf("mx%d.a.example", i+1)})
		if err := c.Handshake(); (err == nil) != (want == "") || err != nil &&
			!strings.Contains(err.Error(), want) {
			t.Errorf("mx%d: %v, want %q", i+1, err, want)
		}
	}
}

// TestTLSIsRecorded: the record says which messages came over TLS.
func TestTLSIsRecorded(t *testing.T) {
	s := startServer(t, zoneConfig, Options{})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.Authority())
	sent := send(t, s, 8,
		mailtest.SendOptions{TLS: &tls.Config{RootCAs: roots, ServerName: "mx1.a.example"}})
	if r := record.Check(sent, s.Records(), record.Rules{}); !r.OK() || r.Delivered == 0 {
		t.Errorf("%v", r)
	}
	for r := range s.Records().All() {
		if !r.TLS || r.Client.Addr() != netip.MustParseAddr("127.0.0.1") || r.Conn == 0 ||
			r.Accepted.Before(r.Begun) || r.Begun.Before(r.Connected) {
			t.Errorf("%+v", r)
		}
	}
}

// TestPolicy: the policy is served over HTTPS for its host only.
func TestPolicy(t *testing.T) {
	s := startServer(t, zoneConfig, Options{})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.Authority())
	client := &http.Client{Timeout: patience, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "mta-sts.a.example"},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, s.PolicyAddr())
		},
	}}
	defer client.CloseIdleConnections()
	get := func(url string) (int, string) {
		resp, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	want := "version: STSv1\r\nmode: enforce\r\nmx: mx1.a.example\r\nmx: " +
		"mx2.a.example\r\nmax_age: 86400\r\n"
	if code, text := get("https://mta-sts.a.example/.well-known/mta-sts.txt"); code != 200 ||
		text != want {
		t.Errorf("%d %q", code, text)
	}
	if code, _ := get("https://mta-sts.b.example/.well-known/mta-sts.txt"); code != 404 {
		t.Errorf("%d for another domain", code)
	}
}

// TestDefaultIsNow: rules use the time of day when no clock is given.
func TestDefaultIsNow(t *testing.T) {
	s := startServer(t, "[[rule]]\nrate = \"1/h\"", Options{})
	if d := time.Since(s.o.Now()); d < 0 || d > time.Minute {
		t.Errorf("off by %v", d)
	}
	play(t, "127.0.0.1", s.Addr(), hello+mail+"> MAIL FROM:<>\n< 421")
}
