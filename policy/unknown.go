package policy

import (
	"net/netip"
	"sync"
	"time"

	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/smtpd"
)

// Somebody who wants to know which addresses exist asks for many that do not. Everybody else does
// so now and then: typing errors, lists with people who have left. So a client network has a budget
// of unknown recipients, which fills up again with time. The first half costs nothing. In the
// second half each reply comes later than the one before, and without a budget the connection ends
// with 421, late as well. What is said of an address stays true, and addresses that exist are taken
// throughout: no stranger can have the mail of a network refused by asking from there.
const (
	// unknownPause is how late a reply is at most; clients wait five minutes (RFC 5321 4.5.3.2.3).
	unknownPause = 20 * time.Second
	// prefix lengths of a client network, as for limits.connections_per_network
	unknownBits4 = 24
	unknownBits6 = 56
	// unknownNetworks bounds the networks that are remembered. When there are more, the one with
	// the most left is forgotten, out of a few.
	unknownNetworks = 50_000
)

var failHarvest = &smtp.Failure{Code: smtp.ServiceUnavailable, Enhanced: "4.7.1", Close: true,
	Text: "Too many recipients that do not exist were asked for from your network; " +
		"try again later"}

// unknowns counts the unknown recipients of strangers. Nothing is counted of those that exist.
// Safe for use by several goroutines.
type unknowns struct {
	now clock
	mu  struct {
		sync.Mutex
		networks map[netip.Prefix]*bucket
	}
}

func newUnknowns(now clock) *unknowns {
	u := &unknowns{now: now}
	u.mu.networks = map[netip.Prefix]*bucket{}
	return u
}

// refuse is the answer for a recipient that does not exist, for which f is without a budget.
func (u *unknowns) refuse(client netip.Addr, budget Rate, f *smtp.Failure) *smtp.Failure {
	if budget.N <= 0 {
		return f
	}
	used := u.take(client, budget)
	half := float64(budget.N) / 2
	if used <= half {
		return f
	}
	late := *f
	if used > float64(budget.N) {
		late = *failHarvest
	}
	late.Delay = time.Duration(min((used-half)/half, 1) * float64(unknownPause))
	return &late
}

// take counts one recipient and returns how much of the budget is used, at most one more than all.
func (u *unknowns) take(client netip.Addr, budget Rate) (used float64) {
	network := unknownNetwork(client)
	u.mu.Lock()
	defer u.mu.Unlock()
	now := u.now()
	b := u.mu.networks[network]
	if b == nil {
		u.makeRoom(budget, now)
		b = &bucket{at: now}
		u.mu.networks[network] = b
	}
	b.drain(budget, now)
	b.used = min(b.used+1, float64(budget.N)+1)
	return b.used
}

// makeRoom forgets whoever has used nothing, out of a few, and, when there are too many, the one of
// them who has used the least. It uses that a map is walked in random order.
func (u *unknowns) makeRoom(budget Rate, now time.Time) {
	var least netip.Prefix
	var best *bucket
	looked := 0
	for network, b := range u.mu.networks {
		if b.drain(budget, now); b.used == 0 {
			delete(u.mu.networks, network)
		} else if best == nil || b.used < best.used {
			least, best = network, b
		}
		if looked++; looked == sampled {
			break
		}
	}
	if best != nil && len(u.mu.networks) >= unknownNetworks {
		delete(u.mu.networks, least)
	}
}

func unknownNetwork(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap().WithZone("")
	bits := unknownBits6
	if ip.Is4() {
		bits = unknownBits4
	}
	p, _ := ip.Prefix(bits) // fails for the zero Addr only, which is a network of its own
	return p
}

// unknown is the answer to a client for a recipient that does not exist.
func (p *Policy) unknown(c *smtpd.Client, rules *ruleSet) *smtp.Failure {
	f := p.unless(failNoMailbox)
	if f != failNoMailbox || c.User != nil || rules.trusts(c.Addr.Addr()) {
		return f
	}
	return p.unknowns.refuse(c.Addr.Addr(), rules.unknown, f)
}
