package message

import (
	"fmt"
	"strings"
	"testing"
)

func valueText(v StructuredValue) string {
	s := v.Main
	for _, p := range v.Params {
		s += fmt.Sprintf(";%s=%s", p.Name, p.Value)
		if p.Charset != "" || p.Language != "" {
			s += fmt.Sprintf("[%s %s]", p.Charset, p.Language)
		}
	}
	return s
}

func TestParseValue(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{" TEXT/Plain; Charset=US-ASCII (Plain text)", "text/plain;charset=US-ASCII"},
		{"(a (nested\\) comment)) text (x) / (y) html;; charset = \"utf-8\" ;",
			"text/html;charset=utf-8"},
		{"multipart/mixed;\r\n\tboundary=\"b \\\"1\\\"\r\n 2\"",
			`multipart/mixed;boundary=b "1" 2`},
		{"multipart/mixed; boundary=----=_Part/1;x=y", "multipart/mixed;boundary=----=_Part/1;x=y"},
		{"attachment; filename=my file (1).pdf; size=3", "attachment;filename=my file;size=3"},
		{"attachment; filename=\"no end", "attachment;filename=no end"},
		{"text/plain charset=utf-8\r\n\tformat=flowed", "text/plain;charset=utf-8;format=flowed"},
		{"text/plain; a=1; A=2; =3; b; c=", "text/plain;a=1;c="},
		{"text", "text"},
		{"text/", "text/"},
		{"; charset=x", ";charset=x"},
		// RFC 2231 3, 4 and 4.1
		{"message/external-body; access-type=URL; URL*0=\"ftp://\"; " +
			"URL*1=\"cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar\"",
			"message/external-body;access-type=URL;url=ftp://cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar"},
		{"application/x-stuff; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A",
			"application/x-stuff;title=This is ***fun***[us-ascii en-us]"},
		{"application/x-stuff; title*0*=us-ascii'en'This%20is%20even%20more%20; " +
			"title*1*=%2A%2A%2Afun%2A%2A%2A%20; title*2=\"isn't it!\"",
			"application/x-stuff;title=This is even more ***fun*** isn't it![us-ascii en]"},
		{"a; n*1=b; n*0=a; n*3=d", "a;n=ab"},
		{"a; n*1=b; n*2=c", "a"},
		{"a; n=plain; n*=utf-8''%e2%82%ac%4", "a;n=\u20ac%4[utf-8 ]"},
		{"a; n*=no quotes%20here; n*x=1; n*99999=2; *=3", "a;n=no quotes here"},
	} {
		if got := valueText(ParseValue([]byte(c.in))); got != c.want {
			t.Errorf("%q:\n%s, want\n%s", c.in, got, c.want)
		}
	}
	v := ParseValue([]byte("x; a=1; b=2"))
	if b, ok := v.Param("b"); !ok || b != "2" {
		t.Error(b, ok)
	}
	if _, ok := v.Param("c"); ok {
		t.Error("a parameter from nowhere")
	}
}

func FuzzParseValue(f *testing.F) {
	f.Add([]byte("text/plain; charset=\"utf-8\"; a*0*=x'y'%41; a*1=b (c)"))
	f.Add([]byte(strings.Repeat("a;a*1=", 200)))
	f.Add([]byte("\"\\"))
	f.Fuzz(func(t *testing.T, in []byte) {
		v := ParseValue(in)
		seen := map[string]bool{}
		octets := len(v.Main)
		for _, p := range v.Params {
			if p.Name == "" || seen[p.Name] || p.Name != strings.ToLower(p.Name) &&
				p.Name != lower([]byte(p.Name)) {
				t.Fatalf("%q: %+v", in, v)
			}
			seen[p.Name] = true
			octets += len(p.Name) + len(p.Value)
		}
		if octets > len(in) || len(v.Params) > maxParams {
			t.Fatalf("%q became larger: %+v", in, v)
		}
		// Written with quotes it is read again as it is.
		again := []byte(v.Main)
		for _, p := range v.Params {
			if strings.ContainsAny(p.Value, "\r\n") || strings.Contains(p.Name, "*") {
				return
			}
			again = fmt.Appendf(again, ";%s=\"%s\"", p.Name,
				strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(p.Value))
		}
		back := ParseValue(again)
		for i := range v.Params {
			v.Params[i].Charset, v.Params[i].Language = "", ""
		}
		if valueText(back) != valueText(v) {
			t.Fatalf("%q: %q, again %q", in, valueText(v), valueText(back))
		}
	})
}
