package record

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Bounds of what is kept of rates; what is over them counts for the domain "other" or not by the
// second.
const (
	maxRateDomains = 10000
	maxRateSeconds = 7 * 24 * 3600
	otherDomains   = "other"
)

// DomainRate is how fast the messages of one domain of recipients came.
type DomainRate struct {
	Domain    string    `json:"domain"`
	Messages  int       `json:"messages"` // transactions with a recipient of the domain
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
	PerSecond []int32   `json:"per_second"` // messages in each second, counted from First
}

// Peak returns the most messages in a second.
func (d *DomainRate) Peak() int {
	if len(d.PerSecond) == 0 {
		return 0
	}
	return int(slices.Max(d.PerSecond))
}

// Mean returns the messages per second between the first and the last, or 0 when that took no time.
func (d *DomainRate) Mean() float64 {
	if took := d.Last.Sub(d.First).Seconds(); took > 0 {
		return float64(d.Messages-1) / took
	}
	return 0
}

type rates struct{ domains map[string]*DomainRate }

func newRates() *rates { return &rates{map[string]*DomainRate{}} }

// add counts a transaction once for each domain of its recipients.
func (rs *rates) add(r *Received) {
	for i, rcpt := range r.Recipients {
		domain := domainOf(rcpt)
		if !slices.ContainsFunc(r.Recipients[:i], func(before string) bool {
			return strings.EqualFold(domainOf(before), domain)
		}) {
			rs.count(strings.ToLower(domain), r.Accepted)
		}
	}
}

func domainOf(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }

func (rs *rates) count(domain string, at time.Time) {
	d := rs.domains[domain]
	if d == nil && len(rs.domains) >= maxRateDomains {
		domain = otherDomains
		d = rs.domains[domain]
	}
	if d == nil {
		d = &DomainRate{Domain: strings.Clone(domain), First: at, Last: at}
		rs.domains[d.Domain] = d
	}
	d.Messages++
	if at.After(d.Last) {
		d.Last = at
	}
	second := max(int(at.Sub(d.First)/time.Second), 0) // two loops may add a little out of order
	if second >= maxRateSeconds {
		return
	}
	for len(d.PerSecond) <= second {
		d.PerSecond = append(d.PerSecond, 0)
	}
	d.PerSecond[second]++
}

func (rs *rates) list() []DomainRate {
	var all []DomainRate
	for _, d := range rs.domains {
		all = append(all, *d)
	}
	slices.SortFunc(all, func(a, b DomainRate) int { return cmp.Compare(a.Domain, b.Domain) })
	return all
}
