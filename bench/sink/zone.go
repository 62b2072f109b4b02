package sink

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// The name server's records, made from the configuration: addresses of the hosts that Listen names,
// what each domain asks for, and TLSA records (RFC 6698, RFC 7672). The zone is not signed, so a
// validating resolver in between takes no notice of TLSA; a mail server that is told to trust this
// name server does.

// ttl of all records, in seconds.
const ttl = 60

// zone returns all records in the form of a zone file.
func (s *Server) zone() (records []string) {
	c := s.o.Config
	for i := range c.Listen {
		records = append(records, s.host(i)...)
	}
	for i := range c.Domains {
		records = append(records, domainRecords(&c.Domains[i])...)
		if c.Domains[i].hasPolicy() {
			records = append(records, s.policyRecords(&c.Domains[i])...)
		}
	}
	return append(records, c.Records...)
}

// host returns the records of one MX host.
func (s *Server) host(i int) (records []string) {
	l := &s.o.Config.Listen[i]
	if l.Host == "" {
		return nil
	}
	at := netip.MustParseAddrPort(s.smtp.Addrs()[s.first+i])
	name := dns.Fqdn(l.Host)
	if !at.Addr().IsUnspecified() { // else only Config.Records can say where clients find it
		records = append(records, address(name, at.Addr()))
	}
	if cert := s.certs[i]; cert != nil && l.TLSA != "" && l.TLSA != none {
		records = append(records, fmt.Sprintf("_%d._tcp.%s %d IN TLSA 3 1 1 %x", at.Port(), name,
			ttl, association(cert, l.TLSA)))
	}
	return records
}

func address(name string, ip netip.Addr) string {
	kind := "A"
	if ip.Unmap().Is6() {
		kind = "AAAA"
	}
	return fmt.Sprintf("%s %d IN %s %s", name, ttl, kind, ip.Unmap())
}

// association is the hash of the certificate's public key (RFC 6698 2.1), or one that is not.
func association(cert *x509.Certificate, tlsa string) []byte {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	if tlsa == "mismatch" {
		sum[0] ^= 0xff
	}
	return sum[:]
}

func domainRecords(d *Domain) (records []string) {
	name := dns.Fqdn(d.Name)
	for i, mx := range d.MX {
		preference := 10 * (i + 1)
		if mx == "." {
			preference = 0 // RFC 7505 3
		}
		records = append(records, fmt.Sprintf("%s %d IN MX %d %s", name, ttl, preference,
			dns.Fqdn(mx)))
	}
	for _, text := range d.TXT {
		records = append(records, fmt.Sprintf("%s %d IN TXT %s", name, ttl, quoteText(text)))
	}
	return records
}

// quoteText writes a text as strings of 255 octets at most (RFC 1035 3.3.14).
func quoteText(text string) string {
	var parts []string
	for first := true; first || text != ""; first = false {
		n := min(len(text), 255)
		parts = append(parts, `"`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text[:n])+`"`)
		text = text[n:]
	}
	return strings.Join(parts, " ")
}
