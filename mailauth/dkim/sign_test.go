package dkim

import (
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/message"
)

// TestLayout: the field as it is written, folded, with the tags that were asked for.
func TestLayout(t *testing.T) {
	s := signature(t, Options{Domain: "BÜCHER.example", Selector: "S2026", Identity: "a;b=c@" +
		"mail.xn--bcher-kva.example", Expires: 7 * 24 * time.Hour,
		Fields: []Field{{"to", OverSigned}, {"Subject", Each}, {"X-A", NoSecond}, {"X-B", NoSecond},
			{"subject", Each}}}, fixed{make([]byte, 256)})
	got, err := sign(t, "To: x\r\nX-A: 1\r\nFrom: y\r\nTo: z\r\nSubject: s\r\n\r\n", s)
	if err != nil {
		t.Fatal(err)
	}
	got, _, _ = strings.Cut(got, "To: x")
	want := "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=xn--bcher-kva.example;\r\n" +
		"\ts=s2026; i=a=3Bb=3Dc@mail.xn--bcher-kva.example; t=1700000000;\r\n" +
		"\tx=1700604800;\r\n" +
		"\th=From:From:to:to:to:Subject:X-A:X-A;\r\n" +
		"\tbh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;\r\n" +
		"\tb=" + strings.Repeat("A", 68) + "\r\n\t" + strings.Repeat("A", 70) + "\r\n\t" +
		strings.Repeat("A", 70) + "\r\n\t" + strings.Repeat("A", 70) + "\r\n\t" +
		strings.Repeat("A", 64) + "==\r\n"
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if s.Domain() != "xn--bcher-kva.example" || s.Selector() != "s2026" || s.Body() != Relaxed ||
		s.Algorithm() != RSASHA256 {
		t.Errorf("%q, %q, %v, %q", s.Domain(), s.Selector(), s.Body(), s.Algorithm())
	}
}

// TestLinesAreShort: no line of any signature is wider than 78 columns, a tab counted as 8.
func TestLinesAreShort(t *testing.T) {
	signatures := testSignatures(t)
	for n := 1; n < 60; n++ {
		signatures = append(signatures, signature(t, Options{
			Domain: strings.Repeat("d", n) + ".example", Selector: strings.Repeat("s", n)},
			fixed{make([]byte, 3*n)}))
	}
	for seed := range uint64(20) {
		signed, err := sign(t, varied(seed), signatures...)
		if err != nil {
			t.Fatal(err)
		}
		for f := range message.Fields([]byte(signed)) {
			if !f.Is("DKIM-Signature") {
				break
			}
			for line := range strings.SplitSeq(string(f.Raw), "\r\n") {
				if len(line)+7*strings.Count(line, "\t") > 78 || strings.HasSuffix(line, " ") {
					t.Errorf("%q", line)
				}
			}
		}
	}
}

// covered returns what is signed of a header, without the signature itself.
func covered(t *testing.T, head string, fields []Field, form Canon) string {
	t.Helper()
	list, err := fieldsOf(fields)
	if err != nil {
		t.Fatal(err)
	}
	h, err := parseHeader([]byte(head))
	if err != nil {
		t.Fatal(err)
	}
	names, err := h.list(nil, list)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, ":") + "\n" + string(h.appendCovered(nil, names, form))
}

// TestCovered: repeated fields from the bottom up, over-signing, both forms.
func TestCovered(t *testing.T) {
	const head = "X-R: 1\r\nFrom:  a\r\n\tb \r\nx-r:\t2\r\nX-R: 3\r\n\r\n"
	fields := []Field{{"X-R", NoSecond}, {"Cc", OverSigned}, {"Sender", NoSecond}, {"To", Each}}
	for form, want := range map[Canon]string{
		Relaxed: "From:From:X-R:X-R:X-R:X-R:Cc\nfrom:a b\r\nx-r:3\r\nx-r:2\r\nx-r:1\r\n",
		Simple: "From:From:X-R:X-R:X-R:X-R:Cc\nFrom:  a\r\n\tb \r\nX-R: 3\r\nx-r:\t2\r\n" +
			"X-R: 1\r\n",
	} {
		if got := covered(t, head, fields, form); got != want {
			t.Errorf("%v: %q, want %q", form, got, want)
		}
	}
	// The order of a verifier is that of the h= tag, whatever it is.
	h, err := parseHeader([]byte(head))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(h.appendCovered(nil, []string{"x-r", "to", "FROM", "x-r"}, Relaxed)); got !=
		"x-r:3\r\nfrom:a b\r\nx-r:2\r\n" {
		t.Errorf("%q", got)
	}
}

// TestNotSigned: what has no single meaning is refused.
func TestNotSigned(t *testing.T) {
	s := signature(t, Options{}, rsaKey())
	for mail, want := range map[string]error{
		"":                                    ErrNoFrom,
		"no header at all":                    ErrLineEnds,
		"\r\nFrom: a\r\n":                     ErrNoFrom,
		"To: a\r\n\r\n":                       ErrNoFrom,
		"From: a\r\nFROM: b\r\n\r\n":          ErrTwoFrom,
		"From: a\nTo: b\r\n\r\n":              ErrLineEnds,
		"From: a\r\nTo: b":                    ErrLineEnds,
		"From: a\rb\r\n\r\n":                  ErrLineEnds,
		"From: a\r\r\n\r\n":                   ErrLineEnds,
		"From: a\r\n\nx":                      ErrLineEnds,
		"From: a\r\n\r\nx\ny\r\n":             ErrLineEnds,
		"From: a\r\n\r\nx\ry\r\n":             ErrLineEnds,
		"From: a\r\n\r\nx\r":                  ErrLineEnds,
		"From a Mon Jan 1\r\nFrom: a\r\n\r\n": ErrNoField,
		" x\r\nFrom: a\r\n\r\n":               ErrNoField,
		"From: a\r\nno field\r\n\r\n":         ErrNoField,
		"From: a\r\nSubject : b\r\n\r\n":      ErrNoField,
		"From: a\r\nBetreff\xff: b\r\n\r\n":   ErrNoField,
		"From: a\r\n" + strings.Repeat("To: b\r\n", maxListed) + "\r\n": ErrTooMany,
	} {
		head, body := message.Split([]byte(mail))
		// The empty line is the header's too, where its line end is in question.
		head = []byte(mail)[:len(mail)-len(body)]
		hash := NewBodyHash()
		hash.Write(body)
		got, err := Sign(head, hash, []*Signature{s}, signedAt)
		if !errors.Is(err, want) || got != nil {
			t.Errorf("%.50q: %q, %v, want %v", mail, got, err, want)
		}
	}
	good := []byte("From: a\r\n")
	if _, err := Sign(good, NewBodyHash(Simple), []*Signature{s}, signedAt); err == nil {
		t.Error("signed without a hash of the body")
	}
	bad := signature(t, Options{}, broken{})
	if got, err := Sign(good, NewBodyHash(), []*Signature{s, bad}, signedAt); err == nil ||
		got != nil || !strings.Contains(err.Error(), "sign for signer.example with the key s1: "+
		"the token is gone") {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := Sign(good, NewBodyHash(), nil, signedAt); err != nil || len(got) > 0 {
		t.Errorf("no signatures: %q, %v", got, err)
	}
}

func TestOptionsRefused(t *testing.T) {
	for want, o := range map[string]Options{
		"not a domain":       {Domain: "[192.0.2.1]"},
		`"a b" is not a dom`: {Domain: "a b"},
		"not a selector":     {Selector: "a..b"},
		`";" is not a sel`:   {Selector: ";"},
		"253":                {Selector: strings.Repeat("s", 63), Domain: long},
		"never valid":        {Expires: time.Millisecond},
		"has no @":           {Identity: "me"},
		"not of signer":      {Identity: "me@other.example"},
		"is not of":          {Identity: "me@xsigner.example"},
		"too long":           {Identity: strings.Repeat("x", 256) + "@signer.example"},
		"canonical forms":    {Header: 2},
		"can be signed":      {Fields: []Field{{"a;b", Each}}},
		"be signed":          {Fields: []Field{{"", Each}}},
		"changes on":         {Fields: []Field{{"return-path", Each}}},
		"to be signed: it":   {Fields: []Field{{"DKIM-Signature", Each}}},
		"no cover":           {Fields: []Field{{"To", 3}}},
		"at most 100 names":  {Fields: make([]Field, 101)},
	} {
		if o.Domain == "" {
			o.Domain = "signer.example"
		}
		if o.Selector == "" {
			o.Selector = "s1"
		}
		if _, err := NewSignature(o, rsaKey()); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", o, err, want)
		}
	}
}

var long = strings.Repeat(strings.Repeat("d", 60)+".", 3) + "example"

// TestDefaultFields: the list is one that Options take, From first.
func TestDefaultFields(t *testing.T) {
	list, err := fieldsOf(DefaultFields())
	if err != nil || len(list) != len(DefaultFields()) || list[0] != (Field{"From", OverSigned}) {
		t.Errorf("%v, %v", list, err)
	}
}

// FuzzSign: whatever the message is, it is refused or the signature is of what a reader that knows
// only RFC 6376 makes of it.
func FuzzSign(f *testing.F) {
	for seed := range uint64(10) {
		f.Add([]byte(varied(seed)))
	}
	f.Add([]byte("From: a\r\n\r\n"))
	f.Fuzz(func(t *testing.T, mail []byte) {
		for _, form := range []Canon{Relaxed, Simple} {
			var digest [32]byte
			s := signature(t, Options{Header: form, Body: form}, spy{&digest})
			head, body := message.Split(mail)
			hash := NewBodyHash(form)
			hash.Write(body)
			fields, err := Sign(head, hash, []*Signature{s}, signedAt)
			if err != nil {
				continue
			}
			// dkimpy and go-msgauth would need a key; the fields are told apart here by lines.
			if want := plainDigest(string(head), string(fields), form); digest != want {
				t.Fatalf("%v: another digest of\n%q\n%q", form, fields, mail)
			}
		}
	})
}

// spy is a Signer that keeps the digest.
type spy struct{ digest *[32]byte }

func (s spy) Sign(digest [32]byte) ([]byte, error) {
	*s.digest = digest
	return []byte{1, 2, 3}, nil
}

func (spy) Algorithm() string { return RSASHA256 }

// plainDigest is what is signed, by simple means: the header in lines, the fields taken off a list
// from its end.
func plainDigest(head, signature string, form Canon) [32]byte {
	var fields []string
	for line := range strings.SplitAfterSeq(head, "\r\n") {
		if line != "" && strings.Contains(" \t", line[:1]) {
			fields[len(fields)-1] += line
		} else if line != "" {
			fields = append(fields, line)
		}
	}
	_, h, _ := strings.Cut(signature, "\th=")
	h, _, _ = strings.Cut(h, ";")
	var text string
	for name := range strings.SplitSeq(strings.ReplaceAll(h, "\r\n\t", ""), ":") {
		for i := len(fields) - 1; i >= 0; i-- {
			if n, _, _ := strings.Cut(fields[i], ":"); strings.EqualFold(n, name) {
				text += plainField(fields[i], form)
				fields = append(fields[:i:i], fields[i+1:]...)
				break
			}
		}
	}
	before, _, _ := strings.Cut(signature, "\tb=")
	text += strings.TrimSuffix(plainField(before+"\tb=\r\n", form), "\r\n")
	return sha256.Sum256([]byte(text))
}

// plainField is the canonical form in the words of RFC 6376 3.4.1 and 3.4.2.
func plainField(field string, form Canon) string {
	if form == Simple {
		return field
	}
	name, value, _ := strings.Cut(field, ":")
	value = strings.ReplaceAll(value, "\r\n", "")
	value = strings.Join(strings.FieldsFunc(value,
		func(r rune) bool { return r == ' ' || r == '\t' }), " ")
	return strings.ToLower(name) + ":" + value + "\r\n"
}

// TestSignAllocates little beside the field that it returns.
func TestSignAllocates(t *testing.T) {
	head, hash, s := typical(t)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := Sign(head, hash, s, signedAt); err != nil {
			t.Fatal(err)
		}
	}); n > 15 {
		t.Errorf("%v allocations", n)
	}
}

// typical is a header of usual size, a hash, and a signature whose key costs nothing.
func typical(t testing.TB) ([]byte, *BodyHash, []*Signature) {
	head := "Received: from x.example (x.example [192.0.2.1])\r\n" +
		"\tby y.example with ESMTPS id 1;\r\n\tTue, 1 Dec 2026 12:00:00 +0000\r\n" +
		"From: A Person <a@signer.example>\r\n" +
		"To: Another <b@other.example>\r\nSubject: What we spoke of\r\n" +
		"Date: Tue, 1 Dec 2026 12:00:00 +0000\r\nMessage-ID: <1@signer.example>\r\n" +
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n" +
		"Content-Transfer-Encoding: 8bit\r\nList-Unsubscribe: <https://signer.example/u/1>\r\n" +
		"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nX-Mailer: m\r\n"
	hash := NewBodyHash()
	hash.Write([]byte(mailBody(4 << 10)))
	return []byte(head), hash, []*Signature{signature(t, Options{}, fixed{make([]byte, 256)})}
}

// BenchmarkSign is of a message of 4 KiB without the work of the key: its body and its field.
func BenchmarkSign(b *testing.B) {
	head, _, signatures := typical(b)
	body := []byte(mailBody(4<<10 - len(head)))
	hash := NewBodyHash()
	b.ReportAllocs()
	for b.Loop() {
		hash.Reset()
		hash.Write(body)
		if _, err := Sign(head, hash, signatures, signedAt); err != nil {
			b.Fatal(err)
		}
	}
}
