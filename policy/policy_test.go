package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/mailbox"
	"github.com/postroad/postroad/smtpd"
)

func testRules() Rules {
	return Rules{
		Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"),
			netip.MustParsePrefix("2001:db8:1::/48"),
			netip.MustParsePrefix("::ffff:198.51.100.0/120")},
		LocalDomains: []string{"l.example", "*.Wild.example"},
		RelayDomains: []string{"customer.example", "*.customer.example", "GRÜN.example"},
		Hostname:     "mx.l.example",
	}
}

func newPolicy(t *testing.T, o Options) *Policy {
	t.Helper()
	if o.Users == nil {
		o.Users = new(users)
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The forms of ../shared/abuse (nmap's smtp-open-relay and others), D foreign, L local, I our
// address: none is taken for D from a stranger, whether or not somebody has a mailbox here whose
// name looks like a route.
func TestNoOpenRelay(t *testing.T) {
	forms := []string{
		"u@D", "u%D@[I]", "u%D@L", `"u@D"`, `"u%D"`, "u@D@[I]", `"u@D"@[I]`, "u@D@L", "@[I]:u@D",
		"@L:u@D", "D!u", "D!u@[I]", "D!u@L", `"u@D"@L`,
		"u%D%L@L", "@L,@[I]:u@D", `"u\@D"@L`, "u@[P]", "u%D", "<u@D>@L", "u@D,v@L", "u@L.D", "u@D.",
		`u@D\@L`, "u@L@D",
		// and through a relay domain, whose host might unfold them
		"u%D@C", "D!u@C", `"u@D"@C`, `"u\@D"@C`, "@C:u@D", "u%D@x.C",
	}
	expand := strings.NewReplacer("D", "foreign.example", "L", "l.example", "I", "192.0.2.25", "P",
		"203.0.113.9", "C", "customer.example")
	for _, mailboxes := range []bool{false, true} {
		p := newPolicy(t, Options{Rules: testRules(), Users: &users{everybody: mailboxes}})
		for _, form := range forms {
			for _, sender := range []string{"", "s@foreign.example", "s@l.example",
				"s@[192.0.2.25]", "s@localhost"} {
				path := expand.Replace(form)
				r, refused := recipient(t, path)
				if refused != nil {
					if refused.Temporary() {
						t.Errorf("%s: %v", path, refused)
					}
					continue
				}
				c := client(smtpd.Relay, "203.0.113.5", "")
				if f := p.Mail(c, sender); f != nil {
					continue
				}
				f := p.Rcpt(c, sender, r, 0)
				local := r.Domain == "l.example" || r.Domain == "[192.0.2.25]"
				if f == nil && !(mailboxes && local) || f != nil && f.Code/100 != 5 {
					t.Errorf("%s from <%s>: %v, for domain %s", path, sender, f, r.Domain)
				}
			}
		}
	}
}

func TestWhoMayRelay(t *testing.T) {
	u := new(users)
	u.put(t, "bob@l.example", "pw")
	u.put(t, "gone@l.example", "pw", func(u *directory.User) { u.Disabled = true })
	p := newPolicy(t, Options{Rules: testRules(), Users: u})
	tests := []struct {
		kind     smtpd.Kind
		addr     string
		user     string
		to       string
		code     int
		enhanced string
	}{
		{smtpd.Relay, "10.1.2.3", "", "u@foreign.example", 0, ""},
		{smtpd.Relay, "::ffff:10.1.2.3", "", "u@foreign.example", 0, ""},
		{smtpd.Relay, "198.51.100.7", "", "u@foreign.example", 0, ""},
		{smtpd.Relay, "2001:db8:1::7", "", "u@foreign.example", 0, ""},
		{smtpd.Relay, "11.0.0.1", "", "u@foreign.example", 550, "5.7.1"},
		{smtpd.Relay, "2001:db8:2::7", "", "u@foreign.example", 550, "5.7.1"},
		// submission is for users, not for networks
		{smtpd.Submission, "10.1.2.3", "", "u@foreign.example", 550, "5.7.1"},
		// nor is LMTP a way out
		{smtpd.LMTP, "10.1.2.3", "", "u@foreign.example", 550, "5.7.1"},
		{smtpd.LMTP, "10.1.2.3", "", "u@customer.example", 0, ""},
		{smtpd.Relay, "203.0.113.5", "bob@l.example", "u@foreign.example", 0, ""},
		{smtpd.Submission, "203.0.113.5", "bob@l.example", "u@foreign.example", 0, ""},
		{smtpd.Submission, "203.0.113.5", "gone@l.example", "u@foreign.example", 550, "5.7.13"},
		{smtpd.Submission, "203.0.113.5", "never@l.example", "u@foreign.example", 550, "5.7.13"},
		{smtpd.Relay, "203.0.113.5", "", "u@customer.example", 0, ""},
		{smtpd.Relay, "203.0.113.5", "", "u@CUSTOMER.example", 0, ""},
		{smtpd.Relay, "203.0.113.5", "", "u@a.b.customer.example", 0, ""},
		{smtpd.Relay, "203.0.113.5", "", "u@grün.example", 0, ""},
		{smtpd.Relay, "203.0.113.5", "", "u@xn--grn-ioa.example", 0, ""},
		{smtpd.Relay, "203.0.113.5", "", "u@notcustomer.example", 550, "5.7.1"},
		{smtpd.Relay, "203.0.113.5", "", "u@customer.example.evil.example", 550, "5.7.1"},
		// the wildcard is for what lies below
		{smtpd.Relay, "203.0.113.5", "", "u@wild.example", 550, "5.7.1"},
		{smtpd.Relay, "203.0.113.5", "", "u@a.wild.example", 550, "5.1.1"},
		{smtpd.Relay, "10.1.2.3", "", "u@l.example", 550, "5.1.1"},
		{smtpd.Relay, "10.1.2.3", "", "u@[192.0.2.25]", 550, "5.1.1"},
		{smtpd.Relay, "10.1.2.3", "", "u@[192.0.2.26]", 0, ""},
	}
	for _, tt := range tests {
		r, f := recipient(t, tt.to)
		if f != nil {
			t.Fatal(f)
		}
		got := p.Rcpt(client(tt.kind, tt.addr, tt.user), "s@x.example", r, 0)
		wantCode(t, fmt.Sprintf("%s as %q to %s", tt.addr, tt.user, tt.to), got, tt.code,
			tt.enhanced)
	}
}

// TestTrusts: users and relay networks are of this site, nobody else.
func TestTrusts(t *testing.T) {
	p := newPolicy(t, Options{Rules: testRules(), Users: new(users)})
	for _, tt := range []struct {
		addr, user string
		want       bool
	}{
		{"10.1.2.3", "", true}, {"::ffff:10.1.2.3", "", true}, {"203.0.113.5", "", false},
		{"203.0.113.5", "bob@l.example", true},
	} {
		if got := p.Trusts(client(smtpd.Relay, tt.addr, tt.user)); got != tt.want {
			t.Errorf("%s as %q: %v", tt.addr, tt.user, got)
		}
	}
}

func TestPostmaster(t *testing.T) {
	for _, configured := range []string{"", "admin@foreign.example"} {
		rules := testRules()
		rules.Postmaster = configured
		p := newPolicy(t, Options{Rules: rules})
		for _, path := range []string{"postmaster", "PostMaster", "postmaster@l.example",
			"POSTMASTER@L.Example", `"postmaster"@l.example`, "postmaster@[192.0.2.25]",
			"postmaster@a.wild.example"} {
			r, f := recipient(t, path)
			if f != nil {
				t.Fatal(f)
			}
			wantCode(t, path, p.Rcpt(client(smtpd.Relay, "203.0.113.5", ""), "", r, 0), 0, "")
			switch {
			case configured != "" && (r.Address != configured || r.Domain != "foreign.example" ||
				!strings.HasPrefix(r.ORcpt, "rfc822;")):
				t.Errorf("%s went to %+v", path, r)
			case configured == "" &&
				(r.Domain == "" || !strings.HasSuffix(r.Address, "@"+r.Domain) &&
					!strings.EqualFold(r.Address, path)):
				t.Errorf("%s became %+v", path, r)
			}
		}
		r, _ := recipient(t, "postmaster@foreign.example")
		wantCode(t, "a foreign postmaster", p.Rcpt(client(smtpd.Relay, "203.0.113.5", ""), "", r,
			0), 550, "5.7.1")
	}
	r := &mail.Recipient{Address: "postmaster", ORcpt: "rfc822;said"}
	rules := testRules()
	rules.Postmaster = "admin@foreign.example"
	newPolicy(t, Options{Rules: rules}).Rcpt(client(smtpd.Relay, "203.0.113.5", ""), "", r, 0)
	if r.ORcpt != "rfc822;said" {
		t.Errorf("the client's ORCPT became %q", r.ORcpt)
	}
}

// TestLocalRecipients: RCPT answers by what the directory knows of local addresses.
func TestLocalRecipients(t *testing.T) {
	u := &users{
		aliases: map[string]*directory.Alias{
			"sales@l.example": {Name: "sales@l.example",
				Targets: []string{"bob@l.example", "x@foreign.example"}},
			"full@more.example": {Name: "full@more.example",
				Targets: []string{"crammed@l.example"}},
			"loop@l.example": {Name: "loop@l.example", Targets: []string{"loop@l.example"}},
			"postmaster@l.example": {Name: "postmaster@l.example",
				Targets: []string{"bob@l.example"}},
		},
		domains: map[string]*directory.Domain{"more.example": {Name: "more.example",
			Separator: "+"}},
	}
	u.put(t, "bob@l.example", "pw")
	u.put(t, "crammed@l.example", "pw")
	u.put(t, "bot@l.example", "pw", func(u *directory.User) { u.NoMailbox = true })
	rules := testRules()
	rules.Postmaster = "admin@foreign.example"
	p := newPolicy(t, Options{Rules: rules, Users: u, Room: func(address string, size int64) error {
		if address == "crammed@l.example" || address == "bob@l.example" && size > 5000 {
			return fmt.Errorf("%s: %w", address, mailbox.ErrFull)
		}
		return errors.New("not known")
	}})
	for path, want := range map[string]struct {
		code     int
		enhanced string
	}{
		"bob@l.example": {}, "BOB@L.Example": {}, "bob+detail@l.example": {}, "sales@l.example": {},
		"postmaster@l.example": {}, "postmaster@more.example": {},
		"bot@l.example": {550, "5.1.1"}, "nobody@l.example": {550, "5.1.1"},
		"bob@more.example": {550, "5.1.1"}, "bob@[192.0.2.25]": {550, "5.1.1"},
		"loop@l.example": {550, "5.4.6"}, "crammed@l.example": {452, "4.2.2"},
		"full@more.example": {452, "4.2.2"}, "bob@less.example": {550, "5.7.1"},
	} {
		r, f := recipient(t, path)
		if f != nil {
			t.Fatal(f)
		}
		wantCode(t, path, p.Rcpt(client(smtpd.Relay, "203.0.113.5", ""), "s@foreign.example", r, 0),
			want.code, want.enhanced)
		if own := path == "postmaster@l.example"; strings.HasPrefix(path, "postmaster") &&
			own != (r.Domain == "l.example") {
			t.Errorf("%s went to %s", path, r.Address)
		}
	}
	r, _ := recipient(t, "bob@l.example")
	announced := client(smtpd.Relay, "203.0.113.5", "")
	announced.Declared = 6000
	wantCode(t, "a message that is known not to fit", p.Rcpt(announced, "s@foreign.example", r, 0),
		452, "4.2.2")
	if !p.Local("more.example") || !p.Local("a.wild.example") || p.Local("less.example") {
		t.Error("the local domains are those of the rules and those of the directory")
	}
}

// TestNotCurrent: who is not in a directory that may be old is not refused for good.
func TestNotCurrent(t *testing.T) {
	u := new(users)
	u.put(t, "bob@l.example", "pw")
	current := false
	p := newPolicy(t,
		Options{Rules: testRules(), Users: u, Current: func() bool { return current }})
	for _, current = range []bool{false, true} {
		for path, want := range map[string]int{"bob@l.example": 0, "alice@l.example": 550,
			"bob@new.example": 550} {
			if want != 0 && !current {
				want = 451
			}
			r, _ := recipient(t, path)
			if f := p.Rcpt(client(smtpd.Relay, "203.0.113.5", ""), "s@foreign.example", r,
				0); f == nil && want != 0 || f != nil && f.Code != want {
				t.Errorf("%s, current %v: %v, want %d", path, current, f, want)
			}
		}
	}
}

func TestSenders(t *testing.T) {
	u := new(users)
	u.put(t, "bob@l.example", "pw", func(u *directory.User) {
		u.Senders = []string{"sales@l.example", "@shop.example"}
	})
	p := newPolicy(t, Options{Rules: testRules(), Users: u})
	bob := client(smtpd.Submission, "203.0.113.5", "bob@l.example")
	for sender, code := range map[string]int{"bob@l.example": 0, "Bob@L.EXAMPLE": 0,
		"sales@l.example": 0, "any@shop.example": 0, "": 0,
		"alice@l.example": 550, "bob@foreign.example": 550, "x@a.shop.example": 550,
		`"bob"@l.example`: 0, `"b ob"@l.example`: 550, "bob+x@l.example": 0,
		"bob@l.example.evil.example": 550} {
		wantCode(t, sender, p.Mail(bob, sender), code, "5.7.1")
	}
	wantCode(t, "nobody at submission", p.Mail(client(smtpd.Submission, "10.0.0.1", ""),
		"x@l.example"), 530, "5.7.0")
	wantCode(t, "nobody at submissions", p.Mail(client(smtpd.Submissions, "10.0.0.1", ""),
		"x@l.example"), 530, "5.7.0")
	wantCode(t, "LMTP", p.Connect(client(smtpd.LMTP, "10.0.0.1", "")), 0, "")
	wantCode(t, "LMTP from elsewhere", p.Connect(client(smtpd.LMTP, "203.0.113.5", "")), 554,
		"5.7.1")
	wantCode(t, "a sender by LMTP", p.Mail(client(smtpd.LMTP, "10.0.0.1", ""), "x@foreign.example"),
		0, "")
	wantCode(t, "nobody at relay", p.Mail(client(smtpd.Relay, "203.0.113.5", ""),
		"x@foreign.example"), 0, "")
	u.put(t, "bob@l.example", "pw", func(u *directory.User) { u.Disabled = true })
	wantCode(t, "disabled since", p.Mail(bob, "bob@l.example"), 550, "5.7.13")
}

func TestRates(t *testing.T) {
	u, now := new(users), newManual()
	u.put(t, "bob@l.example", "pw")
	u.put(t, "vip@l.example", "pw", func(u *directory.User) {
		u.Messages = Rate{N: 100, Per: time.Hour}
	})
	rules := testRules()
	rules.Messages, rules.Recipients = Rate{N: 4, Per: time.Hour}, Rate{N: 10, Per: time.Hour}
	var exceeded []string
	p := newPolicy(t, Options{Rules: rules, Users: u, Now: now.Now, Events: Events{
		RateExceeded: func(user, what string, _ netip.Addr) {
			exceeded = append(exceeded, user+" "+what)
		}}})
	bob, vip := client(smtpd.Submission, "203.0.113.5", "bob@l.example"),
		client(smtpd.Submission, "203.0.113.5", "vip@l.example")

	wantCode(t, "first", p.Data(bob, 6), 0, "")
	wantCode(t, "5 more recipients", p.Data(bob, 5), 452, "4.7.1")
	wantCode(t, "4 more", p.Data(bob, 4), 0, "") // what was refused was not taken
	wantCode(t, "one more", p.Data(bob, 1), 452, "4.7.1")
	now.add(30 * time.Minute) // 5 recipients and 2 messages come back
	for i := range 4 {
		wantCode(t, fmt.Sprint("later ", i), p.Data(bob, 1), 0, "")
	}
	wantCode(t, "the fifth message", p.Data(bob, 1), 450, "4.7.1")
	now.add(15 * time.Minute)
	wantCode(t, "a quarter of an hour later", p.Data(bob, 1), 0, "")
	wantCode(t, "11 at once", p.Data(bob, 11), 550, "5.5.3")
	for i := range 10 {
		wantCode(t, fmt.Sprint("own rate ", i), p.Data(vip, 1), 0, "")
	}
	if want := "[bob@l.example recipients bob@l.example recipients bob@l.example messages " +
		"bob@l.example recipients]"; fmt.Sprint(exceeded) != want {
		t.Errorf("events %v, want %s", exceeded, want)
	}
	wantCode(t, "no user, no rate", p.Data(client(smtpd.Relay, "10.0.0.1", ""), 1000), 0, "")

	rules.Messages, rules.Recipients = Rate{}, Rate{} // a reload
	if err := p.Configure(rules); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "without rates", p.Data(bob, 1000), 0, "")
}

func TestUsageIsBounded(t *testing.T) {
	now := newManual()
	u := newUsage(100, now.Now)
	rate := Rate{N: 1000, Per: time.Hour}
	for i := range 100 {
		u.take(fmt.Sprint("busy", i), rate, rate, 500)
	}
	for i := range 1000 {
		u.take(fmt.Sprint("quiet", i), rate, rate, 1)
	}
	if n := len(u.mu.users); n != 100 {
		t.Errorf("%d users are remembered, the bound is 100", n)
	}
}

func TestBadRules(t *testing.T) {
	for name, change := range map[string]func(*Rules){
		"local domain":  func(r *Rules) { r.LocalDomains = []string{"a b"} },
		"relay domain":  func(r *Rules) { r.RelayDomains = []string{"*"} },
		"postmaster":    func(r *Rules) { r.Postmaster = "root" },
		"network":       func(r *Rules) { r.Networks = []netip.Prefix{{}} },
		"no domain":     func(r *Rules) { r.LocalDomains, r.Hostname = nil, "" },
		"double prefix": func(r *Rules) { r.RelayDomains = []string{"*.*.x"} },
	} {
		r := testRules()
		change(&r)
		p := newPolicy(t, Options{Rules: testRules()})
		if err := p.Configure(r); err == nil {
			t.Errorf("%s: accepted", name)
		}
		rcpt := &mail.Recipient{Address: "u@customer.example", Domain: "customer.example"}
		if f := p.Rcpt(client(smtpd.Relay, "203.0.113.5", ""), "", rcpt, 0); f != nil {
			t.Errorf("%s: bad rules changed what was in force: %v", name, f)
		}
	}
}

// Nothing that the grammar lets through is relayed from a stranger to a domain that is not listed,
// whatever it looks like.
func FuzzNoOpenRelay(f *testing.F) {
	for _, s := range []string{"u@foreign.example", "u%d@l.example", `"u@d"@customer.example`,
		"@l.example:u@d", "u@l。example", "u@[IPv6:::1]", "postmaster"} {
		f.Add(s)
	}
	p, err := New(Options{Rules: testRules(), Users: new(users)})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path string) {
		a, refused := smtp.ParseRcpt([]byte("TO:<"+path+">"), smtp.Extensions{SMTPUTF8: true})
		if refused != nil {
			return
		}
		r := mail.Recipient{Address: a.Address, Domain: a.Domain}
		if p.Rcpt(client(smtpd.Relay, "203.0.113.5", ""), "", &r, 0) != nil {
			return
		}
		d := r.Domain
		ok := d == "customer.example" || strings.HasSuffix(d, ".customer.example") ||
			d == "xn--grn-ioa.example"
		if local := r.Address[:strings.LastIndexByte(r.Address,
			'@')]; strings.EqualFold(smtp.UnquoteLocal(local), "postmaster") {
			ok = ok || d == "l.example" || strings.HasSuffix(d, ".wild.example") ||
				d == "[192.0.2.25]"
		}
		if !ok {
			t.Fatalf("%q was accepted, as %+v", path, r)
		}
	})
}

func BenchmarkTransaction(b *testing.B) {
	p, err := New(Options{Rules: testRules(), Users: new(users)})
	if err != nil {
		b.Fatal(err)
	}
	c := client(smtpd.Relay, "10.0.0.1", "")
	r := mail.Recipient{Address: "u@foreign.example", Domain: "foreign.example"}
	b.ReportAllocs()
	for b.Loop() {
		if p.Mail(c, "s@x.example") != nil || p.Rcpt(c, "s@x.example", &r, 0) != nil ||
			p.Data(c, 1) != nil {
			b.Fatal("refused")
		}
	}
}
