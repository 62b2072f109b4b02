package dkim

import (
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestRecordText(t *testing.T) {
	edwards, err := ParseRecord(rfc8463Record)
	if err != nil || edwards.Text() != "v=DKIM1; k=ed25519; "+rfc8463Record[20:] {
		t.Errorf("%q, %v", edwards.Text(), err)
	}
	r := edwards
	r.Hashes, r.Services, r.Testing, r.Strict = []string{"sha256"}, []string{"email"}, true, true
	r.Notes = `say "hi"`
	if got, want := r.Text(), `v=DKIM1; k=ed25519; h=sha256; s=email; t=y:s; n=say "hi"; `+
		rfc8463Record[20:]; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := r.Zone(RecordName("s1", "signer.example")); got !=
		`s1._domainkey.signer.example. IN TXT ( "v=DKIM1; k=ed25519; h=sha256; s=email; t=y:s; `+
			`n=say \"hi\"; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=" )` {
		t.Error(got)
	}
	if got := (Record{Type: KeyRSA}).Text(); got != "v=DKIM1; k=rsa; p=" {
		t.Errorf("%q", got)
	}
	if _, err := RecordOf("key"); err == nil {
		t.Error("a record of a key that is none")
	}
}

// TestZone: a DNS library reads the line, and its strings are at most 255 octets.
func TestZone(t *testing.T) {
	key := newKey(RSASHA256, 4096)
	defer key.Close()
	r, err := RecordOf(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	rr, err := dns.NewRR(r.Zone(RecordName("s1", "signer.example")))
	if err != nil {
		t.Fatal(err)
	}
	txt := rr.(*dns.TXT)
	if txt.Hdr.Name != "s1._domainkey.signer.example." || len(txt.Txt) != 3 ||
		!reflect.DeepEqual(txt.Txt, r.Strings()) {
		t.Errorf("%q", txt.Txt)
	}
	for _, s := range txt.Txt {
		if len(s) > 255 {
			t.Errorf("a string of %d octets", len(s))
		}
	}
	back, err := ParseRecord(strings.Join(txt.Txt, ""))
	if err != nil || !back.IsOf(key.Public()) || back.IsOf(rsaKey().Public()) {
		t.Errorf("%v, %v", back, err)
	}
}

func TestParseRecord(t *testing.T) {
	public := rsaKey().Public().(*rsa.PublicKey)
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	p := base64.StdEncoding.EncodeToString(spki)
	plain := base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(public))
	edwards := base64.StdEncoding.EncodeToString(edwardsKey().Public().(ed25519.PublicKey))
	edwardsDER, err := x509.MarshalPKIXPublicKey(edwardsKey().Public())
	if err != nil {
		t.Fatal(err)
	}
	good := map[string]Record{
		"v=DKIM1; k=rsa; p=" + p:                     {},
		"p=" + p:                                     {},
		"v=DKIM1;p=" + p + ";":                       {},
		"v=DKIM1;;p=" + p + "; ;":                    {},
		" v = DKIM1 ; p = " + p[:9] + " \t" + p[9:]:  {},
		"v=DKIM1;\r\n p=" + p[:9] + "\r\n\t" + p[9:]: {},
		"v=DKIM1; p=" + plain:                        {},
		"k=rsa; x_1=a=b; p=" + p + "; g=":            {},
		"p=" + p + "; t=y : s : z; n=a b":            {Testing: true, Strict: true, Notes: "a b"},
		"p=" + p + "; h=sha1:sha256; s=*": {Hashes: []string{"sha1", "sha256"},
			Services: []string{"*"}},
		"p=" + p + "; s=other:email": {Services: []string{"other", "email"}},
	}
	for text, want := range good {
		want.Type, want.Key = KeyRSA, public
		r, err := ParseRecord(text)
		if err != nil || !r.IsOf(public) || r.Revoked() || !reflect.DeepEqual(r, want) {
			t.Errorf("%q: %+v, %v", text, r, err)
		}
	}
	for text, notFor := range map[string]bool{"p=" + p + "; h=sha1": true, "s=tlsrpt; p=" + p: true,
		"h=; p=" + p: true, "k=ed25519; p=" + edwards: true} {
		if r, err := ParseRecord(text); err != nil || r.IsOf(public) == notFor {
			t.Errorf("%q: %+v, %v", text, r, err)
		}
	}
	if r, err := ParseRecord("k=ed25519; p=" + edwards); err != nil ||
		!r.IsOf(edwardsKey().Public()) || r.IsOf(nil) || r.IsOf("x") {
		t.Errorf("%+v, %v", r, err)
	}
	for _, text := range []string{"v=DKIM1; p=", "p= ;", "k=ed25519; p="} {
		if r, err := ParseRecord(text); err != nil || !r.Revoked() || r.IsOf(public) {
			t.Errorf("%q: %+v, %v", text, r, err)
		}
	}
	for text, want := range map[string]string{
		"": "not the record", "v=spf1 -all": "not the record", "v=DKIM2; p=" + p: "not the record",
		"v=dkim1; p=" + p: "not the record", "hello": "not the record", "k=rsa": "not the record",
		"=x; p=": "not the record", "1=x; p=": "not the record",
		"v=DKIM1; k=rsa": "no p= tag", "p=" + p + "; v=DKIM1": "not the first",
		"p=" + p + "; p=": `"p=" twice`, "k=rsa; k=rsa; p=" + p: "twice",
		"k=ecdsa; p=" + p: "not known", "k=RSA; p=" + p: "not known",
		"p=***": "not in base64", "p=AAAA": "no RSA key", "k=ed25519; p=AAAA": "3 octets",
		"p=" + base64.StdEncoding.EncodeToString(edwardsDER): "it is not",
		"n=" + strings.Repeat("x", maxRecord):                "more than 8192",
	} {
		if r, err := ParseRecord(text); err == nil || !strings.Contains(err.Error(), want) ||
			(want == "not the record") != errors.Is(err, ErrNoRecord) {
			t.Errorf("%.40q: %+v, %v, want %q", text, r, err, want)
		}
	}
}

// FuzzParseRecord: a record that is read says the same when it is written and read again.
func FuzzParseRecord(f *testing.F) {
	for _, s := range []string{rfc8463Record, rfc8463RSA, "p=", "v=DKIM1; p=; h=a:b; s=email;t=y:s",
		"n=a\\;\"b; p="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRecord(text)
		if err != nil {
			return
		}
		again, err := ParseRecord(strings.Join(r.Strings(), ""))
		if err != nil || again.Text() != r.Text() || again.ForMail() != r.ForMail() ||
			again.Revoked() != r.Revoked() {
			t.Fatalf("%q: %+v, again %+v, %v", text, r, again, err)
		}
		if again.IsOf(r.Key) == (r.Revoked() || !r.ForMail()) {
			t.Fatalf("%q: %+v, its own key: %v", text, again, again.IsOf(r.Key))
		}
	})
}
