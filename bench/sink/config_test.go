package sink

import (
	"os"
	"strings"
	"testing"
)

// TestConfigProblems: what cannot work is refused with its place and with what to write.
func TestConfigProblems(t *testing.T) {
	for text, want := range map[string]string{
		"[[rule]]\ngreylst = \"5m\"":     `x.toml:2:1: rule[0].greylst: there is no such key; did you mean rule[0].greylist?`,
		"[[listen]]\naddress = \"here\"": `listen[0].address: is "here"; want an IP address and a port`,
		"[[listen]]\naddress = \"127.0.0.1:1\"\n[[listen]]\naddress = \"127.0.0.1:1\"": `x.toml:4:1: listen[1].address: is given twice`,
		"[[listen]]\naddress = \"127.0.0.1:1\"\ncertificate = \"bad\"":                 `want one of none, good, expired, wrong-name, self-signed`,
		"[[listen]]\naddress = \"127.0.0.1:1\"\ntlsa = \"good\"":                       `add certificate = "good"`,
		"[[listen]]\naddress = \"127.0.0.1:1\"\nwithout = [\"SIZES\"]":                 `has "SIZES", which is not offered anyway; the keywords are PIPELINING,`,
		"[[rule]]\nhost = [\"mx9\"]":                                                   `names "mx9", which is not the host or address of a [[listen]]`,
		"[[rule]]\ndomain = [\"a\"]\nconnections = 1":                                  `when these are counted, no recipient is known`,
		"[[rule]]\nprofile = \"gmial\"":                                                `want one of gmail, `,
		"[[rule]]\nrate_reply = \"later\"":                                             `want a reply such as "450 4.2.0 later"`,
		"[[rule]]\nrate_reply = \"450-a\\n450-b\"":                                     `want a reply such as "450 4.2.0 later"`,
		"[[rule]]\ndo = [{at = \"rctp\", close = true}]":                               `want one of connect, `,
		"[[rule]]\ndo = [{close = true}]":                                              `rule[0].do[0].at: is ""; want one of connect, helo`,
		"[[rule]]\ndo = [{at = \"rcpt\"}]":                                             `does nothing; say reply, delay`,
		"[[rule]]\ndo = [{at = \"rcpt\", share = \"0%\", close = true}]":               `is 0%: it never happens`,
		"[[rule]]\ndo = [{at = \"mail\", by = \"address\", close = true}]":             `goes by the recipient, who is not known at this step`,
		"[[rule]]\ndo = [{at = \"mail\", cut_in = \"1KiB\"}]":                          `say at = "data"`,
		"[[rule]]\ndo = [{at = \"mail\", close = true, share = \"60%\"}, {at = \"mail\", by = " +
			"\"chance\", cut = true, share = \"50%\"}]": `makes the shares at this step 110% together`,
		"[[domain]]\nname = \"a b\"":                                              `want the name of a domain`,
		"[[domain]]\nname = \"a\"\nmx = [\".\", \"b\"]":                           `the preferred first, or "." alone`,
		"policy_address = \"x\"\n[[domain]]\nname = \"a\"\nmta_sts = \"enforce\"": `x.toml:1:1: policy_address: is "x"; want an address and a port`,
	} {
		if _, err := Parse("x.toml", []byte(text)); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
	}
}

// TestDocumentation: the example of docs/bench.md is a configuration.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../docs/bench.md")
	if err != nil {
		t.Fatal(err)
	}
	_, chapter, _ := strings.Cut(string(text), "## bench sink")
	_, example, _ := strings.Cut(chapter, "```toml\n")
	example, _, _ = strings.Cut(example, "```")
	c, err := Parse("docs/bench.md", []byte(example))
	if err != nil || len(c.Listen) != 2 || len(c.Rules) != 4 || len(c.Rules[3].Do) != 5 {
		t.Fatalf("%v, %+v", err, c)
	}
}

// TestProfiles: the profiles are configurations that the check lets pass.
func TestProfiles(t *testing.T) {
	for name := range profiles {
		c := &Config{Rules: []Rule{profiled(Rule{Profile: name})}}
		if err := c.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if r := c.Rules[0]; r.Rate.N == 0 || r.RateReply == defaultRate || len(r.Do) == 0 {
			t.Errorf("%s says nothing: %+v", name, r)
		}
	}
	own := profiled(Rule{Profile: "yahoo", Connections: 3, RateReply: "450 own"})
	if own.Connections != 3 || own.RateReply != "450 own" || own.MessagesPerConnection == 0 {
		t.Errorf("what a rule says does not stand: %+v", own)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("seed = 1\n[[listen]]\naddress = \"127.0.0.1:0\"\n[[rule]]\ndomain = " +
		"[\"*.a\"]\nprofile = \"gmail\"\ndo = [{at = \"rcpt\", share = \"5%\", reply = " +
		"\"450-a\\n450 b\"}]")
	f.Add("[[domain]]\nname = \"a\"\nmx = [\".\"]\ntxt = [\"x\\\"y\"]\nmta_sts = \"enforce\"")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse("x", []byte(text))
		if err != nil {
			return
		}
		p := compile(c, 0, new(testClock).now)
		for at := range steps {
			p.decide(step(at))
		}
		for i := range c.Domains {
			domainRecords(&c.Domains[i])
		}
	})
}
