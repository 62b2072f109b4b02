package smtp

import (
	"strings"
	"testing"
	"unicode/utf8"
)

var allExtensions = Extensions{Size: true, EightBitMIME: true, BinaryMIME: true, DSN: true,
	Auth: true, SMTPUTF8: true}

func TestParseMail(t *testing.T) {
	long := strings.Repeat("a", 64)
	tests := []struct {
		args string
		want MailArgs
	}{
		{"FROM:<>", MailArgs{}},
		{"from:<u@D.example>", MailArgs{Sender: "u@D.example", Domain: "d.example"}},
		{"FROM: <u@d.example>", MailArgs{Sender: "u@d.example", Domain: "d.example"}},
		{"FROM:<u@d.example> ", MailArgs{Sender: "u@d.example", Domain: "d.example"}},
		{"FROM:<@a.example,@[IPv6:::1]:u@d.example>",
			MailArgs{Sender: "u@d.example", Domain: "d.example"}},
		{`FROM:<"a b\"@>"@d.example>`,
			MailArgs{Sender: `"a b\"@>"@d.example`, Domain: "d.example"}},
		{"FROM:<u@[192.0.2.1]>", MailArgs{Sender: "u@[192.0.2.1]", Domain: "[192.0.2.1]"}},
		{"FROM:<u@[ipv6:2001:DB8::1]>", MailArgs{Sender: "u@[ipv6:2001:DB8::1]",
			Domain: "[IPv6:2001:db8::1]"}},
		{"FROM:<" + long + "=bounce.2@d.example>", MailArgs{Sender: long + "=bounce.2@d.example",
			Domain: "d.example"}},
		{"FROM:<a+b=c/d%e!f@d.example>", MailArgs{Sender: "a+b=c/d%e!f@d.example",
			Domain: "d.example"}},
		{"FROM:<föä@grün.example> SMTPUTF8",
			MailArgs{Sender: "föä@grün.example", Domain: "xn--grn-ioa.example", SMTPUTF8: true}},
		{"FROM:<u@xn--grn-ioa.example>", MailArgs{Sender: "u@xn--grn-ioa.example",
			Domain: "xn--grn-ioa.example"}},
		{"FROM:<u@d.example> SIZE=1000 BODY=8BITMIME RET=HDRS ENVID=QQ+2B314159",
			MailArgs{Sender: "u@d.example", Domain: "d.example", Size: 1000, Body: Body8BitMIME,
				Ret: RetHeaders, EnvelopeID: "QQ+314159"}},
		{"FROM:<> body=binarymime AUTH=<> ret=full", MailArgs{Body: BodyBinaryMIME, Auth: "<>",
			Ret: RetFull}},
		// no brackets, dots anywhere, "_" in a name, a final dot
		{"FROM:u@d.example SIZE=7", MailArgs{Sender: "u@d.example", Domain: "d.example", Size: 7}},
		{`FROM:"u v"@d.example`, MailArgs{Sender: `"u v"@d.example`, Domain: "d.example"}},
		{"FROM:<taro..yamada.@d.example>", MailArgs{Sender: "taro..yamada.@d.example",
			Domain: "d.example"}},
		{"FROM:<.a@my_host.d.example.>", MailArgs{Sender: ".a@my_host.d.example",
			Domain: "my_host.d.example"}},
		{"FROM:<> AUTH=e+3Dmc2@example.com", MailArgs{Auth: "e=mc2@example.com"}},
	}
	for _, tt := range tests {
		got, f := ParseMail([]byte(tt.args), allExtensions)
		if f != nil || got != tt.want {
			t.Errorf("ParseMail(%q) = %+v, %v; want %+v", tt.args, got, f, tt.want)
		}
	}
}

func TestParseMailRefuses(t *testing.T) {
	tests := []struct {
		args string
		code int
	}{
		{"", 501}, {"FROM", 501}, {"FROM:", 501}, {"TO:<a@b.example>", 501},
		{"FROM:u@d.example>", 501}, {"FROM:u", 501}, {"FROM:@d.example", 501}, {"FROM:SIZE=1", 501},
		{`FROM:"u v"`, 501}, {"FROM:u@d.example> SIZE=1", 501},
		{"FROM:<u@d.example", 501}, {"FROM:<u@>", 501}, {"FROM:<@d.example>", 501},
		{"FROM:<u>", 501}, {"FROM:<s>", 501},
		{"FROM:<;sleep 66;>", 501}, {"FROM:<a b@d.example>", 501}, {"FROM:<a@d..example>", 501},
		{"FROM:<a@-d.example>", 501},
		{"FROM:<a@d-.example>", 501},
		{"FROM:<a@.d.example>", 501}, {"FROM:<a@d.example..>", 501}, {"FROM:<a@b@d.example>", 501},
		{"FROM:<<a@d.example>>", 501},
		{"FROM:<any@legitimate.com(a.attack.com>", 501}, {`FROM:<""@d.example>`, 501},
		{`FROM:<"a@d.example>`, 501},
		{`FROM:<"a"b@d.example>`, 501}, {"FROM:<a@[1.2.3]>", 501}, {"FROM:<a@[1.2.3.4>", 501},
		{"FROM:<a@[IPv6:1.2.3.4]>", 501},
		{"FROM:<a@[IPv6:fe80::1%eth0]>", 501}, {"FROM:<a@[::1]>", 501}, {"FROM:<a@[x:y]>", 501},
		{"FROM:<a\x00@d.example>", 501}, {"FROM:<a\x7f@d.example>", 501},
		{"FROM:<\"a\rb\"@d.example>", 501},
		{"FROM:<f\xc3\xb6\xc3\xa4@\xc3\xb6\xc3>", 501}, {"FROM:<f\xc3@d.example> SMTPUTF8", 501},
		{"FROM:<" + strings.Repeat("a", 256) + "@d.example>", 501},
		{"FROM:<a@" + strings.Repeat("d", 64) + ".example>", 501},
		{"FROM:<a@" + strings.Repeat("d.", 128) + "example>", 501},
		{"FROM:<a@" + strings.Repeat("ü", 60) + ".example> SMTPUTF8", 501},
		// a route before the null path names nobody: taken as the null path
		{"FROM:<@a.example:>", 0},
		{"FROM:<föä@d.example>", 553},
		{"FROM:<> SIZE=-1", 501}, {"FROM:<> SIZE=99999999999999999999", 501},
		{"FROM:<> SIZE=", 501}, {"FROM:<> SIZE", 501},
		{"FROM:<> BODY=9BIT", 501}, {"FROM:<> RET=ALL", 501}, {"FROM:<> ENVID=+0D+0A", 501},
		{"FROM:<> ENVID=+4", 501},
		{"FROM:<> ENVID=" + strings.Repeat("x", 101), 501}, {"FROM:<> SMTPUTF8=1", 501},
		{"FROM:<> AUTH=+00", 501},
		{"FROM:<>SIZE=1", 501}, {"FROM:<> SIZE=1 SIZE=1", 501}, {"FROM:<> =x", 501},
		{"FROM:<> -X=x", 501}, {"FROM:<> X=a=b", 555},
		{"FROM:<> NOTIFY=NEVER", 555}, {"FROM:<> XYZZY", 555}, {"FROM:<> xyzzy=1", 555},
	}
	for _, tt := range tests {
		got, f := ParseMail([]byte(tt.args), allExtensions)
		switch {
		case tt.code == 0 && f != nil:
			t.Errorf("ParseMail(%.60q): %v", tt.args, f)
		case tt.code != 0 && (f == nil || f.Code != tt.code):
			t.Errorf("ParseMail(%.60q) = %+v, %v; want %d", tt.args, got, f, tt.code)
		}
	}
}

// TestParametersNeedTheirExtension: a parameter that was not offered is answered 555 (RFC 5321
// 4.1.1.11).
func TestParametersNeedTheirExtension(t *testing.T) {
	for _, p := range []string{"SIZE=1", "BODY=7BIT", "SMTPUTF8", "RET=FULL", "ENVID=x",
		"AUTH=<>"} {
		if _, f := ParseMail([]byte("FROM:<> "+p), Extensions{}); f == nil || f.Code != 555 {
			t.Errorf("MAIL with %s in a HELO session: %v, want 555", p, f)
		}
	}
	for _, p := range []string{"NOTIFY=NEVER", "ORCPT=rfc822;a"} {
		if _, f := ParseRcpt([]byte("TO:<a@b.example> "+p), Extensions{}); f == nil ||
			f.Code != 555 {
			t.Errorf("RCPT with %s in a HELO session: %v, want 555", p, f)
		}
	}
	if _, f := ParseMail([]byte("FROM:<> BODY=BINARYMIME"),
		Extensions{EightBitMIME: true}); f == nil || f.Code != 501 {
		t.Errorf("BINARYMIME not offered: %v, want 501", f)
	}
}

func TestParseRcpt(t *testing.T) {
	tests := []struct {
		args string
		want RcptArgs
	}{
		{"TO:<u@d.example>", RcptArgs{Address: "u@d.example", Domain: "d.example"}},
		{"TO:<Postmaster>", RcptArgs{Address: "Postmaster"}},
		{"to:<@a.example:u@d.example>", RcptArgs{Address: "u@d.example", Domain: "d.example"}},
		{"TO:<${run{/bin/true}}@d.example>", RcptArgs{Address: "${run{/bin/true}}@d.example",
			Domain: "d.example"}},
		{`TO:<"|/bin/sh"@d.example>`, RcptArgs{Address: `"|/bin/sh"@d.example`,
			Domain: "d.example"}},
		{"TO:<u@d.example> NOTIFY=SUCCESS,delay ORCPT=rfc822;Bob+2B1@d.example",
			RcptArgs{Address: "u@d.example", Domain: "d.example",
				Notify: NotifySuccess | NotifyDelay, ORcpt: "rfc822;Bob+1@d.example"}},
		{`TO:<ü@d.example> ORCPT=rfc822;+C3+BC@d.example`,
			RcptArgs{Address: "ü@d.example", Domain: "d.example", ORcpt: "utf-8;ü@d.example"}},
		{`TO:<ü@d.example> ORCPT=utf-8;\x{FC}+40d.example`,
			RcptArgs{Address: "ü@d.example", Domain: "d.example", ORcpt: "utf-8;ü@d.example"}},
		{`TO:<u@d.example> ORCPT=utf-8;ü@d.example NOTIFY=never`,
			RcptArgs{Address: "u@d.example", Domain: "d.example", ORcpt: "utf-8;ü@d.example",
				Notify: NotifyNever}},
	}
	for _, tt := range tests {
		got, f := ParseRcpt([]byte(tt.args), allExtensions)
		if f != nil || got != tt.want {
			t.Errorf("ParseRcpt(%q) = %+v, %v; want %+v", tt.args, got, f, tt.want)
		}
	}
	refused := []struct {
		args string
		code int
	}{
		{"TO:<>", 501}, {"TO:<u>", 501}, {"TO:<u%d.example>", 501}, {"TO:<d.example!u>", 501},
		{`TO:<"u@d.example">`, 501},
		{"TO:<u@d.example@[192.0.2.1]>", 501}, {"TO:<u@d.example@l.example>", 501},
		{"TO:<<u@d.example>@l.example>", 501},
		{"TO:<u@d.example,v@l.example>", 501}, {"TO:<u@.>", 501},
		{`TO:<u@d.example\@l.example>`, 501}, {`TO:<""@l.example>`, 501},
		{"TO:<u@d.example> NOTIFY=NEVER,FAILURE", 501}, {"TO:<u@d.example> NOTIFY=", 501},
		{"TO:<u@d.example> NOTIFY=DELAY,", 501},
		{"TO:<u@d.example> NOTIFY=DELAY,DELAY", 501}, {"TO:<u@d.example> ORCPT=rfc822", 501},
		{"TO:<u@d.example> ORCPT=;a", 501},
		{"TO:<u@d.example> ORCPT=rfc822;a+0D+0Ab", 501}, {"TO:<u@d.example> ORCPT=rfc822;ü", 501},
		{`TO:<u@d.example> ORCPT=utf-8;\x{0A}`, 501}, {`TO:<u@d.example> ORCPT=utf-8;\x{D800}`,
			501}, {`TO:<u@d.example> ORCPT=utf-8;\x{41`, 501},
		{"TO:<u@d.example> SIZE=1", 555},
	}
	for _, tt := range refused {
		if got, f := ParseRcpt([]byte(tt.args), allExtensions); f == nil || f.Code != tt.code {
			t.Errorf("ParseRcpt(%q) = %+v, %v; want %d", tt.args, got, f, tt.code)
		}
	}
	if _, f := ParseRcpt([]byte("TO:<ü@d.example>"), Extensions{}); f == nil || f.Code != 553 {
		t.Errorf("UTF-8 recipient without SMTPUTF8: %v, want 553", f)
	}
}

func TestDomain(t *testing.T) {
	good := map[string]string{
		"example.com": "example.com", "EXAMPLE.Com": "example.com", "a.b-c.d1": "a.b-c.d1",
		"r3---x.example": "r3---x.example", "a_b._tcp": "a_b._tcp",
		"GRÜN.example": "xn--grn-ioa.example", "XN--GRN-IOA.example": "xn--grn-ioa.example",
		"例え.テスト":    "xn--r8jz45g.xn--zckzah",
		"u。example": "u.example", "[127.0.0.1]": "[127.0.0.1]", "[IPv6:0:0::1]": "[IPv6:::1]",
	}
	for raw, want := range good {
		if got, err := Domain(raw); err != nil || got != want {
			t.Errorf("Domain(%q) = %q, %v; want %q", raw, got, err, want)
		}
	}
	for _, raw := range []string{"", ".", "a.", ".a", "a..b", "a b", "a/b", "-a", "a-",
		"xn--a", "xn--zzzzzzzz9", "[", "[]", "[a]", "a。。b", "ü。",
		"\u200d", strings.Repeat("ü", 600), strings.Repeat("ü.", 200) + "a"} {
		if got, err := Domain(raw); err == nil {
			t.Errorf("Domain(%.40q) = %.40q, want an error", raw, got)
		}
	}
	raw := "mail.example.net"
	if n := testing.AllocsPerRun(100, func() { Domain(raw) }); n != 0 {
		t.Errorf("Domain allocates %v times for a lower-case name", n)
	}
}

func TestParseAllocatesOnlyTheAddress(t *testing.T) {
	mail, rcpt := []byte("FROM:<sender@example.com> SIZE=4096 BODY=8BITMIME"),
		[]byte("TO:<user@example.net>")
	if n := testing.AllocsPerRun(100, func() { ParseMail(mail, allExtensions) }); n > 1 {
		t.Errorf("ParseMail allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { ParseRcpt(rcpt, allExtensions) }); n > 1 {
		t.Errorf("ParseRcpt allocates %v times", n)
	}
}

func TestUnquoteLocal(t *testing.T) {
	for in, want := range map[string]string{`u`: `u`, `"u"`: `u`, `"u\@d"`: `u@d`, `"a\\"`: `a\`,
		`"`: `"`} {
		if got := UnquoteLocal(in); got != want {
			t.Errorf("UnquoteLocal(%s) = %s, want %s", in, got, want)
		}
	}
}

// clean is what everything decoded from a peer must be, because it goes into headers, logs and
// replies.
func clean(s string) bool {
	return utf8.ValidString(s) &&
		!strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

func FuzzParseMail(f *testing.F) {
	for _, s := range []string{"FROM:<>", "FROM:<u@d.example> SIZE=1 ENVID=a+2Bb",
		`FROM:<"a\"b"@[IPv6:::1]> AUTH=<>`, "FROM:<@a,@b:ü@ü.example> SMTPUTF8",
		"FROM:<f\xc3\xb6\xc3\xa4@\xc3\xb6\xc3>", "FROM:<u@d> SIZE=99999999999999999999"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, args []byte) {
		m, fail := ParseMail(args, allExtensions)
		if fail != nil {
			if fail.Code/100 != 5 {
				t.Fatalf("%q: code %d", args, fail.Code)
			}
			return
		}
		if !clean(m.Sender) || !clean(m.Domain) || !clean(m.EnvelopeID) || !clean(m.Auth) ||
			m.Size < 0 {
			t.Fatalf("%q: %+v", args, m)
		}
		if again, fail := ParseMail([]byte("FROM:<"+m.Sender+"> SMTPUTF8"),
			allExtensions); fail != nil || again.Sender != m.Sender || again.Domain != m.Domain {
			t.Fatalf("%q gives %q, which gives %q, %v", args, m.Sender, again.Sender, fail)
		}
	})
}

func FuzzParseRcpt(f *testing.F) {
	for _, s := range []string{"TO:<postmaster>",
		"TO:<u@d.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb", `TO:<u@d> ORCPT=utf-8;\x{FC}`,
		"TO:<u%d!x@[1.2.3.4]>", `TO:<"u\@d"@l>`, "TO:<@[1.2.3.4]:u@d>"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, args []byte) {
		r, fail := ParseRcpt(args, allExtensions)
		if fail != nil {
			return
		}
		if r.Address == "" || !clean(r.Address) || !clean(r.Domain) || !clean(r.ORcpt) {
			t.Fatalf("%q: %+v", args, r)
		}
		if r.Domain == "" && !strings.EqualFold(r.Address, "postmaster") {
			t.Fatalf("%q: no domain", args)
		}
		if d, err := Domain(r.Domain); r.Domain != "" && (err != nil || d != r.Domain) {
			t.Fatalf("%q: Domain(%q) = %q, %v: not a fixed point", args, r.Domain, d, err)
		}
	})
}

func FuzzParseCommand(f *testing.F) {
	for _, s := range []string{"EHLO x", "RSET\rQUIT", "NOOP \x01", "FROP \xF1\x80",
		"BDAT 99999999999999999999 LAST", "AUTH PLAIN ="} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		verb, args := ParseCommand(line)
		if verb >= verbs || len(args) > len(line) {
			t.Fatalf("%q: %d, %q", line, verb, args)
		}
		if size, _, fail := ParseBdat(args); fail == nil && size < 0 {
			t.Fatalf("%q: BDAT size %d", line, size)
		}
		ParseAuth(args)
		if name, fail := ParseHelo(args); fail == nil && !clean(name) {
			t.Fatalf("%q: HELO %q", line, name)
		}
	})
}

func FuzzXText(f *testing.F) {
	f.Add("a+b=c d\r\n\xff")
	f.Fuzz(func(t *testing.T, s string) {
		back, ok := DecodeXText(AppendXText(nil, s))
		if !ok || back != s {
			t.Fatalf("xtext of %q decodes to %q, %v", s, back, ok)
		}
		DecodeXText([]byte(s))
		decodeEmbeddedUnicode(s)
	})
}

func BenchmarkParseMail(b *testing.B) {
	line := []byte("MAIL FROM:<sender@example.com> SIZE=4096 BODY=8BITMIME")
	b.ReportAllocs()
	for b.Loop() {
		_, args := ParseCommand(line)
		if _, f := ParseMail(args, allExtensions); f != nil {
			b.Fatal(f)
		}
	}
}

func BenchmarkParseRcpt(b *testing.B) {
	line := []byte(
		"RCPT TO:<recipient@example.com> NOTIFY=FAILURE,DELAY ORCPT=rfc822;recipient@example.com")
	b.ReportAllocs()
	for b.Loop() {
		_, args := ParseCommand(line)
		if _, f := ParseRcpt(args, allExtensions); f != nil {
			b.Fatal(f)
		}
	}
}

func TestSASL(t *testing.T) {
	for encoded, want := range map[string]string{"AHUAcA==": "\x00u\x00p", "": "", "AHUAcA": "!",
		"=": "!", "A\rAAA": "!", "AHUAcB==": "!", "AHUA cA==": "!"} {
		message, ok := DecodeSASL([]byte(encoded))
		if ok != (want != "!") || ok && string(message) != want {
			t.Errorf("%q: %q, %v", encoded, message, ok)
		}
	}
	if authzid, user, password, ok := ParsePlain([]byte("a\x00u\x00p")); authzid != "a" ||
		user != "u" || password != "p" || !ok {
		t.Errorf("%q %q %q %v", authzid, user, password, ok)
	}
	for _, bad := range []string{"", "u\x00p", "\x00\x00p", "a\x00u\x00p\x00"} {
		if _, _, _, ok := ParsePlain([]byte(bad)); ok {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestPatterns(t *testing.T) {
	for pattern, want := range map[string]string{
		"": "", "*": "*", "*.Example.NET": "*.example.net", "b*ü.example": "b*ü.example",
		"*.Bücher.example": "*.xn--bcher-kva.example",
	} {
		if got := DomainPattern(pattern); got != want {
			t.Errorf("domain %q: %q, want %q", pattern, got, want)
		}
	}
	for pattern, want := range map[string]string{
		"<>": "<>", "Ann*": "ann*", "*@Grün.Example": "*@xn--grn-ioa.example",
		"Ü@x.example": "ü@x.example",
	} {
		if got := AddressPattern(pattern); got != want {
			t.Errorf("address %q: %q, want %q", pattern, got, want)
		}
	}
}
