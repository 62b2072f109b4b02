package sink

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// MTA-STS (RFC 8461): a TXT record says that a domain has a policy, which is fetched from the host
// mta-sts.DOMAIN over HTTPS.

func (d *Domain) hasPolicy() bool { return d.MTASTS != "" && d.MTASTS != none }

func (d *Domain) policyHost() string {
	return "mta-sts." + strings.ToLower(strings.TrimSuffix(d.Name, "."))
}

func (c *Config) policyAddress() string { return cmp.Or(c.PolicyAddress, "127.0.0.1:443") }

// policy is the text of the domain's policy (RFC 8461 3.2).
func (d *Domain) policy() string {
	var b strings.Builder
	fmt.Fprintf(&b, "version: STSv1\r\nmode: %s\r\n", d.MTASTS)
	for _, mx := range d.MX {
		fmt.Fprintf(&b, "mx: %s\r\n", strings.TrimSuffix(mx, "."))
	}
	b.WriteString("max_age: 86400\r\n")
	return b.String()
}

// policyRecords are the TXT record and the policy host's address.
func (s *Server) policyRecords(d *Domain) []string {
	name := dns.Fqdn(strings.ToLower(d.Name))
	records := []string{fmt.Sprintf(`_mta-sts.%s %d IN TXT "v=STSv1; id=%d;"`, name, ttl,
		s.started.Unix())}
	if at, err := netip.ParseAddrPort(s.policies.addr); err == nil {
		records = append(records, address(dns.Fqdn(d.policyHost()), at.Addr()))
	}
	return records
}

// policies serves the policies over HTTPS.
type policies struct {
	addr   string
	server *http.Server
	done   chan struct{}
}

// servePolicies starts the server when a domain has a policy.
func (s *Server) servePolicies() error {
	texts := map[string]string{}
	var names []string
	for i := range s.o.Config.Domains {
		if d := &s.o.Config.Domains[i]; d.hasPolicy() {
			texts[d.policyHost()] = d.policy()
			names = append(names, d.policyHost())
		}
	}
	if len(texts) == 0 {
		return nil
	}
	cert, err := s.authority.Issue(names...)
	if err != nil {
		return err
	}
	conf, err := cert.Server()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", s.o.Config.policyAddress())
	if err != nil {
		return fmt.Errorf("serving MTA-STS policies: %w", err)
	}
	p := &policies{addr: l.Addr().String(), done: make(chan struct{})}
	p.server = &http.Server{Handler: policyHandler(texts), ReadTimeout: 10 * time.Second,
		WriteTimeout: 10 * time.Second}
	go func() {
		defer close(p.done)
		_ = p.server.Serve(tls.NewListener(l, conf)) // ends with close
	}()
	s.policies = p
	return nil
}

func policyHandler(texts map[string]string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/mta-sts.txt", func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		text, known := texts[strings.ToLower(host)]
		if !known {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, text)
	})
	return mux
}

func (p *policies) close() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = p.server.Shutdown(ctx) // at once: closes the listener
	_ = p.server.Close()
	<-p.done
}
