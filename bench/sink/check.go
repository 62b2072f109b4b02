package sink

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/postroad/postroad/internal/config"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// checker gathers what the types of the configuration cannot rule out.
type checker struct {
	*Config
	places   *config.Places
	problems config.Problems
}

func (c *Config) check(places *config.Places) error {
	k := &checker{Config: c, places: places}
	for i := range c.Listen {
		k.listen(fmt.Sprintf("listen[%d]", i), i)
	}
	for i := range c.Rules {
		k.rule(fmt.Sprintf("rule[%d]", i), &c.Rules[i])
	}
	for i := range c.Domains {
		k.domain(fmt.Sprintf("domain[%d]", i), &c.Domains[i])
	}
	if len(k.problems) > 0 {
		return k.problems
	}
	return nil
}

// must reports what when ok is false.
func (k *checker) must(ok bool, key, what, hint string) {
	if !ok {
		k.problems = append(k.problems, k.places.Problem(key, what, hint))
	}
}

func (k *checker) listen(key string, i int) {
	l := &k.Listen[i]
	at, err := netip.ParseAddrPort(l.Address)
	k.must(err == nil, key+".address", fmt.Sprintf("is %q", l.Address),
		`want an IP address and a port, such as "127.0.0.2:2525"`)
	for n := range k.Listen[:i] {
		k.must(k.Listen[n].Address != l.Address || at.Port() == 0, key+".address", "is given twice",
			"")
	}
	for _, keyword := range l.Without {
		k.must(slices.Contains(mailtest.Keywords, keyword), key+".without",
			fmt.Sprintf("has %q, which is not offered anyway", keyword),
			"the keywords are "+strings.Join(mailtest.Keywords, ", "))
	}
	k.must(l.TLSA == "" || l.TLSA == none || l.encrypts(), key+".tlsa",
		"is about a certificate, and there is none", `add certificate = "good"`)
}

// none is what there is without a certificate, TLSA records or MTA-STS.
const none = "none"

func (l *Listen) encrypts() bool { return l.Certificate != "" && l.Certificate != none }

func (k *checker) rule(key string, r *Rule) {
	for _, host := range r.Hosts {
		known := slices.ContainsFunc(k.Listen, func(l Listen) bool {
			return l.Host == host || l.Address == host
		})
		k.must(known, key+".host",
			fmt.Sprintf("names %q, which is not the host or address of a [[listen]]", host), "")
	}
	if len(r.Domains) > 0 {
		k.must(r.Connections == 0 && r.MessagesPerConnection == 0, key+".domain",
			"cannot go with a limit of connections or messages per connection",
			"when these are counted, no recipient is known: say host = [...] or client = [...]")
	}
	for name, reply := range map[string]string{
		"greylist_reply": r.GreylistReply, "rate_reply": r.RateReply,
		"connections_reply": r.ConnectionsReply, "messages_reply": r.MessagesReply,
	} {
		k.must(reply == "" || isReply(reply), key+"."+name, fmt.Sprintf("is %q", reply), wantReply)
	}
	total := map[[2]string]config.Percent{}
	for i := range r.Do {
		k.do(fmt.Sprintf("%s.do[%d]", key, i), &r.Do[i], total)
	}
}

// wantReply is the form of a reply (RFC 5321 4.2).
const wantReply = `want a reply such as "450 4.2.0 later"; lines before the last have "-" after the code`

var replyForm = regexp.MustCompile(
	`^([2-5]\d\d)(-[^\r\n]*\n([2-5]\d\d)(-[^\r\n]*\n[2-5]\d\d)*)? [^\r\n]*$`)

func isReply(reply string) bool { return len(reply) <= 4096 && replyForm.MatchString(reply) }

func (k *checker) do(key string, d *Do, total map[[2]string]config.Percent) {
	k.must(slices.Contains(stepNames, d.At), key+".at", fmt.Sprintf("is %q", d.At),
		"want one of "+strings.Join(stepNames, ", "))
	k.must(!k.places.Has(key+".share") || d.Share > 0, key+".share", "is 0%: it never happens",
		"take it out")
	k.must(d.By != byAddress || d.At == "rcpt", key+".by",
		"goes by the recipient, who is not known at this step", `say at = "rcpt"`)
	k.must(d.Reply == "" || isReply(d.Reply), key+".reply", fmt.Sprintf("is %q", d.Reply),
		wantReply)
	k.must(d.CutIn == 0 || d.At == "data", key+".cut_in", "is for the content", `say at = "data"`)
	k.must(d.Reply != "" || d.Delay > 0 || d.Drip > 0 || d.Close || d.Cut || d.CutIn > 0, key,
		"does nothing",
		"say reply, delay, drip, close, cut or cut_in")
	of := [2]string{d.At, d.By}
	if of[1] == byChance {
		of[1] = ""
	}
	total[of] += share(*d)
	k.must(total[of] <= 100, key+".share", fmt.Sprintf("makes the shares at this step %v together",
		total[of]), "they may be 100% at most")
}

func (k *checker) domain(key string, d *Domain) {
	k.must(isDomain(d.Name), key+".name", fmt.Sprintf("is %q", d.Name), "want the name of a domain")
	for _, mx := range d.MX {
		k.must(mx == "." && len(d.MX) == 1 || isDomain(mx), key+".mx", fmt.Sprintf("has %q", mx),
			`want names of hosts, the preferred first, or "." alone`)
	}
	_, _, err := net.SplitHostPort(k.policyAddress())
	k.must(err == nil || !d.hasPolicy(), "policy_address", fmt.Sprintf("is %q", k.PolicyAddress),
		`want an address and a port, such as "127.0.0.1:443"`)
}

func isDomain(name string) bool {
	return name != "" && len(name) < 250 && !strings.ContainsAny(name, " \t\r\n\"\\();@") &&
		!strings.HasPrefix(name, ".") && !strings.Contains(name, "..")
}
