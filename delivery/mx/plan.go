package mx

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/postroad/postroad/internal/dns"
	"github.com/postroad/postroad/internal/smtp"
)

// The decisions of RFC 5321 section 5.1, without I/O: which exchangers to ask for, and what their
// addresses come to.

// plan is what a domain's MX records say.
type plan struct {
	candidates []dns.MX // ascending preference, those of equal preference in random order
	site       string
	self       bool // an exchanger that is us was dropped, with all of equal or worse preference
	more       bool // there are more than MaxHosts
}

// newPlan reads MX records. A single record with the root is a null MX: the domain takes no mail
// (RFC 7505 section 3).
func newPlan(
	records []dns.MX, own map[string]bool, maxHosts int, shuffle func(int, func(i, j int)),
) (p plan, f *smtp.Failure) {
	if len(records) == 1 && records[0].Host == "" {
		return p, errNullMX
	}
	valid := slices.DeleteFunc(slices.Clone(records), func(x dns.MX) bool {
		return !validHost(x.Host)
	})
	slices.SortFunc(valid, func(a, b dns.MX) int {
		return cmp.Or(cmp.Compare(a.Pref, b.Pref), cmp.Compare(a.Host, b.Host))
	})
	seen := make(map[string]bool, len(valid))
	valid = slices.DeleteFunc(valid, func(x dns.MX) bool {
		old := seen[x.Host]
		seen[x.Host] = true
		return old
	})
	if len(valid) > 0 {
		names := make([]string, len(valid))
		for i, x := range valid {
			names[i] = x.Host
		}
		p.site = siteName(names)
	}
	if i := slices.IndexFunc(valid, func(x dns.MX) bool { return own[x.Host] }); i >= 0 {
		p.self = true
		pref := valid[i].Pref
		valid = slices.DeleteFunc(valid, func(x dns.MX) bool { return x.Pref >= pref })
	}
	shuffleEqual(valid, func(x dns.MX) uint16 { return x.Pref }, shuffle)
	p.more = len(valid) > maxHosts
	p.candidates = valid[:min(len(valid), maxHosts)]
	return p, nil
}

// shuffleEqual shuffles the runs of equal preference of a sorted list.
func shuffleEqual[T any](list []T, pref func(T) uint16, shuffle func(int, func(i, j int))) {
	for i := 0; i < len(list); {
		j := i + 1
		for j < len(list) && pref(list[j]) == pref(list[i]) {
			j++
		}
		same := list[i:j]
		shuffle(len(same), func(a, b int) { same[a], same[b] = same[b], same[a] })
		i = j
	}
}

// tally goes through the candidates' addresses in order of preference.
type tally struct {
	hosts    []Host
	expires  time.Time
	self     bool // one was us
	loopback bool // one pointed at whoever asks
	private  bool // one had only addresses that are nobody's on the Internet
	unknown  bool // the DNS did not say for one
}

// add judges one candidate. It returns false when the candidate is us: it and all of equal or worse
// preference are out.
func (t *tally) add(x dns.MX, a addresses, own []netip.Addr, allowPrivate bool) bool {
	switch a.outcome {
	case dns.Failed:
		t.unknown = true
		t.until(a.expires)
		return true
	case dns.NoData, dns.NoName:
		return true
	}
	h := Host{Name: x.Host, Pref: x.Pref}
	for _, addr := range a.addrs {
		switch {
		case slices.Contains(own, addr):
			t.self = true
			t.hosts = slices.DeleteFunc(t.hosts, func(h Host) bool { return h.Pref >= x.Pref })
			return false
		case allowPrivate || public(addr):
			h.Addrs = append(h.Addrs, addr)
		case isLoopback(addr):
			t.loopback = true
		default:
			t.private = true
		}
	}
	t.until(a.expires)
	if len(h.Addrs) > 0 {
		t.hosts = append(t.hosts, h)
	}
	return true
}

func (t *tally) until(e time.Time) {
	if t.expires.IsZero() || e.Before(t.expires) {
		t.expires = e
	}
}

// verdict is the failure when no host is left, nil else. What the DNS did not say may be the way
// out, so it comes first.
func (t *tally) verdict() *smtp.Failure {
	switch {
	case len(t.hosts) > 0:
		return nil
	case t.unknown:
		return errUnknown
	case t.self || t.loopback:
		return errLoop
	case t.private:
		return errPrivate
	}
	return errNoAddress
}

var (
	errNullMX   = smtp.Perm(556, "5.1.10", "The recipient's domain accepts no mail (null MX)")
	errNoDomain = smtp.Perm(550, "5.1.2",
		"The recipient's domain does not exist; check its spelling")
	errNoMail = smtp.Perm(550, "5.1.2",
		"The recipient's domain has neither MX nor address records")
	errBadDomain = smtp.Perm(550, "5.1.2",
		"The recipient's domain is not a valid domain name or address literal")
	errNoAddress = smtp.Perm(550, "5.4.4",
		"None of the mail exchangers of the recipient's domain has an address")
	errPrivate = smtp.Perm(550, "5.4.4",
		"The mail exchangers of the recipient's domain have only private addresses")
	errLoop = smtp.Perm(554, "5.4.6",
		"Mail for the recipient's domain loops back to this server, which does not know it as "+
			"its own")
	errUnknown   = failLookup("The DNS gives no answer for the recipient's domain")
	errSmartHost = smtp.Temp(451, "4.4.4", "The smart host of this route has no address in the DNS")
)

func failLookup(text string) *smtp.Failure { return smtp.Temp(451, "4.4.3", text) }
