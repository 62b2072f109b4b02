package sink

import (
	"cmp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/internal/config"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// program is a Config made ready for use.
type program struct {
	rules []*rule
	now   func() time.Time
}

// rule is a Rule with what it remembers.
type rule struct {
	Rule
	patterns []string       // of domains, in lower case
	hosts    []int          // numbers of listeners
	steps    [steps][]event // what Do says, by step
	draws    [steps]atomic.Uint64
	seed     uint64
	grey     *greylist
	rate     *window
	open     *openings
}

// steps is how many steps a session has.
const steps = int(mailtest.AtQuit) + 1

// event is a Do made ready: it happens when the draw lies below its bound, and not below that of
// one before.
type event struct {
	Do
	bound uint64
}

// compile makes a checked configuration ready. first is the number of the listener that is
// Listen[0].
func compile(c *Config, first int, now func() time.Time) *program {
	p := &program{now: now}
	for i := range c.Rules {
		r := &rule{Rule: profiled(c.Rules[i]), seed: mix(uint64(c.Seed), uint64(i))}
		for _, d := range r.Domains {
			r.patterns = append(r.patterns, strings.ToLower(d))
		}
		for n := range c.Listen {
			if slices.Contains(r.Hosts, c.Listen[n].Host) ||
				slices.Contains(r.Hosts, c.Listen[n].Address) {
				r.hosts = append(r.hosts, first+n)
			}
		}
		for _, reply := range []*string{&r.GreylistReply, &r.RateReply, &r.ConnectionsReply,
			&r.MessagesReply} {
			*reply = onWire(*reply)
		}
		r.grey, r.rate, r.open = newGreylist(time.Duration(r.Greylist)), newWindow(r.Rate),
			newOpenings(r.Connections)
		for _, do := range r.Do {
			r.plan(do)
		}
		p.rules = append(p.rules, r)
	}
	return p
}

// plan puts do behind what the rule does at the step already: each has a part of the whole to
// itself.
func (r *rule) plan(do Do) {
	at := slices.Index(stepNames, do.At)
	do.By = cmp.Or(do.By, byChance)
	do.Reply = onWire(do.Reply)
	from := uint64(0)
	for _, e := range r.steps[at] {
		if e.By == do.By {
			from = e.bound
		}
	}
	r.steps[at] = append(r.steps[at], event{do, from + uint64(share(do)/100*wholeShare)})
}

// onWire is a reply with the ends of lines that SMTP has.
func onWire(reply string) string { return strings.ReplaceAll(reply, "\n", "\r\n") }

// share is how often a Do happens, in percent.
func share(do Do) config.Percent {
	if do.Share == 0 {
		return 100
	}
	return do.Share
}

// wholeShare is the bound that every draw is below.
const wholeShare = 1 << 32

var stepNames = []string{"connect", "helo", "starttls", "mail", "rcpt", "data", "end", "other",
	"quit"}

// matches reports whether the rule is for a step. recipient is "" where none is known yet.
func (r *rule) matches(s *mailtest.Step, recipient string) bool {
	if len(r.patterns) > 0 && (recipient == "" || !r.domainMatches(domainOf(recipient))) {
		return false
	}
	if len(r.Hosts) > 0 && !slices.Contains(r.hosts, s.Listener) {
		return false
	}
	return len(r.Clients) == 0 || r.Clients.Contains(s.Remote.Addr())
}

func (r *rule) domainMatches(domain string) bool {
	for _, p := range r.patterns {
		if rest, wild := strings.CutPrefix(p, "*"); wild && hasSuffixFold(domain, rest) ||
			strings.EqualFold(p, domain) {
			return true
		}
	}
	return false
}

func hasSuffixFold(s, suffix string) bool {
	return len(s) >= len(suffix) && strings.EqualFold(s[len(s)-len(suffix):], suffix)
}

func domainOf(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }

// find returns the rule that decides at a step, or nil.
func (p *program) find(s *mailtest.Step) *rule {
	recipient := ""
	switch s.At {
	case mailtest.AtRcpt:
		recipient = s.Recipient
	case mailtest.AtData, mailtest.AtEnd:
		if len(s.Recipients) > 0 {
			recipient = s.Recipients[0]
		}
	}
	for _, r := range p.rules {
		if r.matches(s, recipient) {
			return r
		}
	}
	return nil
}

// mix makes a number out of two that shows nothing of them (splitmix64's finish).
func mix(a, b uint64) uint64 {
	x := a*0x9e3779b97f4a7c15 + b + 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
