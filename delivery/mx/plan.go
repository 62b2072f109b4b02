package mx

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/postroad/postroad/internal/smtp"
)

// The decisions of RFC 5321 section 5.1, without I/O: which exchangers to ask for, and what their
// addresses come to.

// plan is what a domain's MX records say.
type plan struct {
	candidates []exchanger // ascending preference, those of equal preference in random order
	site       string
	self       bool // an exchanger that is us was dropped, with all of equal or worse preference
	more       bool // there are more than MaxHosts
}

// newPlan reads MX records. A single record with the root is a null MX: the domain takes no mail
// (RFC 7505 section 3).
func newPlan(records []exchanger, own map[string]bool, maxHosts int, shuffle func(int, func(i, j int))) (p plan, f *smtp.Failure) {
	if len(records) == 1 && records[0].name == "" {
		return p, errNullMX
	}
	valid := slices.DeleteFunc(slices.Clone(records), func(x exchanger) bool { return !validHost(x.name) })
	slices.SortFunc(valid, func(a, b exchanger) int {
		return cmp.Or(cmp.Compare(a.pref, b.pref), cmp.Compare(a.name, b.name))
	})
	seen := make(map[string]bool, len(valid))
	valid = slices.DeleteFunc(valid, func(x exchanger) bool { old := seen[x.name]; seen[x.name] = true; return old })
	if len(valid) > 0 {
		names := make([]string, len(valid))
		for i, x := range valid {
			names[i] = x.name
		}
		p.site = siteName(names)
	}
	if i := slices.IndexFunc(valid, func(x exchanger) bool { return own[x.name] }); i >= 0 {
		p.self = true
		pref := valid[i].pref
		valid = slices.DeleteFunc(valid, func(x exchanger) bool { return x.pref >= pref })
	}
	shuffleEqual(valid, func(x exchanger) uint16 { return x.pref }, shuffle)
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
func (t *tally) add(x exchanger, a addresses, own []netip.Addr, allowPrivate bool) bool {
	switch a.outcome {
	case failed:
		t.unknown = true
		t.until(a.expires)
		return true
	case noData, noName:
		return true
	}
	h := Host{Name: x.name, Pref: x.pref}
	for _, addr := range a.addrs {
		switch {
		case slices.Contains(own, addr):
			t.self = true
			t.hosts = slices.DeleteFunc(t.hosts, func(h Host) bool { return h.Pref >= x.pref })
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
	errNullMX    = smtp.Perm(556, "5.1.10", "The recipient's domain accepts no mail (null MX)")
	errNoDomain  = smtp.Perm(550, "5.1.2", "The recipient's domain does not exist; check its spelling")
	errNoMail    = smtp.Perm(550, "5.1.2", "The recipient's domain has neither MX nor address records")
	errBadDomain = smtp.Perm(550, "5.1.2", "The recipient's domain is not a valid domain name or address literal")
	errNoAddress = smtp.Perm(550, "5.4.4", "None of the mail exchangers of the recipient's domain has an address")
	errPrivate   = smtp.Perm(550, "5.4.4", "The mail exchangers of the recipient's domain have only private addresses")
	errLoop      = smtp.Perm(554, "5.4.6", "Mail for the recipient's domain loops back to this server, which does not know it as its own")
	errUnknown   = failLookup("The DNS gives no answer for the recipient's domain")
	errSmartHost = smtp.Temp(451, "4.4.4", "The smart host of this route has no address in the DNS")
)

func failLookup(text string) *smtp.Failure { return smtp.Temp(451, "4.4.3", text) }
