package dns

import (
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// This file says what one message means for one question. Nothing in it does I/O, and all of it
// takes whatever the network sends.

// Outcome says how a question ended.
type Outcome uint8

const (
	Failed Outcome = iota // SERVFAIL, REFUSED, no answer: the DNS did not say
	Exists                // records were found
	NoData                // the name exists but has no such record
	NoName                // NXDOMAIN
)

// Answer is what the DNS says about a name and a type.
type Answer struct {
	Outcome Outcome
	MX      []MX         // of TypeMX
	Addrs   []netip.Addr // of TypeA and TypeAAAA
	Texts   []string     // of TypeTXT: of each record, its strings joined
	// as the message has it, not clamped; of a negative answer as RFC 2308 section 5 says
	TTL time.Duration
	// alias, when set, is where a CNAME chain leads that the message does not follow to its end:
	// ask again for it.
	alias string
}

// MX is one mail exchanger (RFC 1035 3.3.9).
type MX struct {
	Host string // lower case, no final dot; "" is the root, a null MX (RFC 7505)
	Pref uint16 // less is tried first
}

const (
	maxChain   = 8   // CNAMEs followed for one question, within an answer and over several
	maxRecords = 512 // of one answer that are looked at
)

// answers reports whether m answers the question: its ID, name, type and class, not only its ID,
// since whoever can guess 16 bits can send an answer to another question (semihalev/sdns#471).
func answers(m *dns.Msg, q *dns.Msg) bool {
	if m.Id != q.Id || !m.Response || m.Opcode != dns.OpcodeQuery || len(m.Question) != 1 {
		return false
	}
	a, b := m.Question[0], q.Question[0]
	return a.Qtype == b.Qtype && a.Qclass == b.Qclass && strings.EqualFold(a.Name, b.Name)
}

// read interprets a message that answers (name, qtype); name ends with a dot.
func read(m *dns.Msg, name string, qtype Type) Answer {
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return Answer{Outcome: Failed}
	}
	records := m.Answer[:min(len(m.Answer), maxRecords)]
	a, at, ttl := Answer{}, name, time.Duration(1<<62)
	for range maxChain {
		next := a.collect(records, at, qtype, &ttl)
		if a.Outcome == Exists {
			a.TTL = ttl
			return a
		}
		if next == "" {
			return a.empty(m, at, at != name, ttl)
		}
		at = next
	}
	// A chain this long, or a circle, has no end with an address: to us it is a name without data.
	return Answer{Outcome: NoData}
}

// collect takes the records of owner and returns the target of its CNAME, if it has one.
func (a *Answer) collect(
	records []dns.RR, owner string, qtype Type, ttl *time.Duration,
) (next string) {
	for _, rr := range records {
		h := rr.Header()
		if h.Class != dns.ClassINET || !strings.EqualFold(h.Name, owner) {
			continue
		}
		switch rr := rr.(type) {
		case *dns.MX:
			if qtype != TypeMX {
				continue
			}
			a.MX = append(a.MX, MX{Host: PlainName(rr.Mx), Pref: rr.Preference})
		case *dns.TXT:
			if qtype != TypeTXT {
				continue
			}
			a.Texts = append(a.Texts, strings.Join(rr.Txt, ""))
		case *dns.A:
			ip, ok := netip.AddrFromSlice(rr.A)
			if qtype != TypeA || !ok {
				continue
			}
			a.Addrs = append(a.Addrs, ip.Unmap())
		case *dns.AAAA:
			ip, ok := netip.AddrFromSlice(rr.AAAA)
			if qtype != TypeAAAA || !ok {
				continue
			}
			a.Addrs = append(a.Addrs, ip.Unmap())
		case *dns.CNAME:
			next = rr.Target
			*ttl = min(*ttl, seconds(h.Ttl))
			continue
		default:
			continue
		}
		a.Outcome = Exists
		*ttl = min(*ttl, seconds(h.Ttl))
	}
	return next
}

// empty reads a message without records for its question: a chain that leads elsewhere, or one of
// the negative answers (RFC 2308 section 2).
func (a Answer) empty(m *dns.Msg, at string, moved bool, ttl time.Duration) Answer {
	if m.Rcode == dns.RcodeNameError { // about the end of the chain (RFC 6604)
		return Answer{Outcome: NoName, TTL: negativeTTL(m)}
	}
	var soa, ns bool
	for _, rr := range m.Ns[:min(len(m.Ns), maxRecords)] {
		switch rr.(type) {
		case *dns.SOA:
			soa = true
		case *dns.NS:
			ns = true
		}
	}
	switch {
	case soa:
		return Answer{Outcome: NoData, TTL: negativeTTL(m)}
	case moved:
		return Answer{Outcome: NoData, alias: at, TTL: ttl}
	case ns: // a referral: this server does not resolve for us
		return Answer{Outcome: Failed}
	}
	return Answer{Outcome: NoData}
}

// negativeTTL is the lesser of the SOA's TTL and its minimum field (RFC 2308 section 5); 0 without
// a SOA.
func negativeTTL(m *dns.Msg) time.Duration {
	for _, rr := range m.Ns[:min(len(m.Ns), maxRecords)] {
		if soa, ok := rr.(*dns.SOA); ok {
			return min(seconds(soa.Hdr.Ttl), seconds(soa.Minttl))
		}
	}
	return 0
}

// seconds reads a TTL; with the top bit set it counts as zero (RFC 2181 section 8).
func seconds(ttl uint32) time.Duration {
	if ttl > 1<<31-1 {
		return 0
	}
	return time.Duration(ttl) * time.Second
}

// PlainName is a name as answers have it: lower case, no final dot.
func PlainName(s string) string { return strings.ToLower(strings.TrimSuffix(s, ".")) }
