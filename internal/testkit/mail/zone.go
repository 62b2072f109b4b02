package mail

import (
	"github.com/miekg/dns"
)

// zone holds records by owner, in lower case.
type zone map[string][]dns.RR

const cnameChain = 8 // links followed in one answer

func (z zone) add(rr dns.RR) {
	name := dns.CanonicalName(rr.Header().Name)
	z[name] = append(z[name], rr)
}

// find returns the records of a name, or of the wildcard that covers it. ok is false when the name
// does not exist.
func (z zone) find(name string) (rrs []dns.RR, ok bool) {
	if rrs, ok = z[name]; ok {
		return rrs, true
	}
	for i, end := dns.NextLabel(name, 0); !end; i, end = dns.NextLabel(name, i) {
		if rrs, ok = z["*."+name[i:]]; ok {
			return rrs, true
		}
	}
	for owner := range z {
		if dns.IsSubDomain(name, owner) { // an empty non-terminal exists, too (RFC 8020)
			return nil, true
		}
	}
	return nil, false
}

// answer fills in the records for q, following aliases.
func (z zone) answer(m *dns.Msg, q question) {
	name := q.name
	for range cnameChain {
		rrs, ok := z.find(name)
		if !ok {
			m.Rcode = dns.RcodeNameError
			break
		}
		alias := ""
		for _, rr := range rrs {
			h := rr.Header()
			c, isAlias := rr.(*dns.CNAME)
			if h.Rrtype != q.qtype && !isAlias {
				continue
			}
			rr = dns.Copy(rr)
			rr.Header().Name = name // of a wildcard
			m.Answer = append(m.Answer, rr)
			if isAlias && q.qtype != dns.TypeCNAME {
				alias = dns.CanonicalName(c.Target)
			}
		}
		if alias == "" {
			break
		}
		name = alias
	}
	if len(m.Answer) == 0 { // RFC 2308 2.2: how long the absence may be remembered
		m.Ns = []dns.RR{&dns.SOA{
			Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 1},
			Ns:  "ns.invalid.", Mbox: "hostmaster.invalid.", Serial: 1, Refresh: 1, Retry: 1,
			Expire: 1, Minttl: 1,
		}}
	}
}
