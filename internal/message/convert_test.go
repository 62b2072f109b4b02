package message

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"
)

// converted converts a message in pieces; ok is false when it cannot be.
func converted(t *testing.T, in string, seed uint64) (out string, ok bool) {
	t.Helper()
	return convertedBy(t, in, seed, ConvertOptions{Signed: true})
}

func convertedBy(
	t *testing.T, in string, seed uint64, o ConvertOptions,
) (out string, ok bool) {
	t.Helper()
	each := func(fn func([]byte)) error {
		cut := pieces(seed)
		for rest := []byte(in); len(rest) > 0; {
			n := cut(len(rest))
			fn(rest[:n])
			rest = rest[n:]
		}
		return nil
	}
	c, err := NewConverter(each, o)
	if errors.Is(err, ErrNotConvertible) {
		return "", false
	}
	if err != nil {
		t.Fatal(err)
	}
	read, err := io.ReadAll(c.Reader(io.NopCloser(strings.NewReader(in))))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if string(read) != out {
			t.Fatalf("%q: read %q, appended %q", in, read, out)
		}
	}()
	for range 2 { // it can be used again
		var b []byte
		c.Begin()
		each(func(p []byte) { b = c.Append(b, p) })
		b = c.Finish(b)
		if int64(len(b)) != c.Size || out != "" && out != string(b) {
			t.Fatalf("%q: %d octets, announced %d", in, len(b), c.Size)
		}
		out = string(b)
	}
	return out, true
}

const (
	eightBitText = "From: a@b\r\nSubject: x\r\n\r\nGr\xc3\xbc\xc3\x9fe aus dem Dorf, in dem wir " +
		"nun wohnen.\r\n"
	eightBitMixed = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n" +
		"Content-Transfer-Encoding: 8bit\r\n\r\nFr\xc3\xbchere Leser\r\n--b\r\n" +
		"Content-Type: multipart/alternative; boundary=\"c2\"\r\n\r\n--c2\r\n\r\nplain\r\n" +
		"--c2\r\nContent-Type: text/html; charset=iso-8859-1\r\n" +
		"Content-Transfer-Encoding: 8bit\r\n\r\n<p class=\"a long name of a class\">gr\xfcn\r\n" +
		"--c2--\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: gr\xc3\xbcn\r\n\r\n" +
		"nested \xc3\xa4\r\n--b\r\nContent-Type: application/octet-stream; name=\"\xc3\xbc.bin\"" +
		"\r\n\r\n\xff\x00\xfe\r\n--b--\r\n"
)

func TestConvert(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"text without MIME", eightBitText,
			"From: a@b\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; " +
				"charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" +
				"Gr=C3=BC=C3=9Fe aus dem Dorf, in dem wir nun wohnen.\r\n"},
		{"an unknown charset", "A: b\r\n\r\nThe colour is gr\xfcn\r\n",
			"A: b\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n" +
				"Content-Transfer-Encoding: quoted-printable\r\n\r\nThe colour is gr=FCn\r\n"},
		{"much of it", "A: b\r\n\r\n\xc3\xbc\xc3\xbc\r\n",
			"A: b\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n" +
				"Content-Transfer-Encoding: base64\r\n\r\nw7zDvA0K\r\n"},
		{"nested", eightBitMixed,
			"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n" +
				"Content-Transfer-Encoding: 7bit\r\n\r\nFr**here Leser\r\n--b\r\n" +
				"Content-Type: multipart/alternative; boundary=\"c2\"\r\n\r\n--c2\r\n\r\n" +
				"plain\r\n--c2\r\nContent-Type: text/html; charset=iso-8859-1\r\n" +
				"Content-Transfer-Encoding: quoted-printable\r\n\r\n" +
				"<p class=3D\"a long name of a class\">gr=FCn\r\n" +
				"--c2--\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n" +
				"Subject: =?utf-8?b?Z3LDvG4=?=\r\nMIME-Version: 1.0\r\nContent-Type: " +
				"text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
				"bmVzdGVkIMOk\r\n--b\r\nContent-Type: application/octet-stream;\r\n" +
				"\tname*=utf-8''%C3%BC.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
				"/wD+\r\n--b--\r\n"},
		{"a delimiter is not made", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n" +
			"\xc3\xbc " + strings.Repeat("x", 68) + "--b\r\n--bc\r\n--b--\r\n",
			"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" +
				"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: " +
				"quoted-printable\r\n\r\n=C3=BC " + strings.Repeat("x", 68) +
				"=\r\n=2D-b\r\n=2D-bc\r\n--b--\r\n"},
		{"addresses", "From: J\xc3\xbcrg Gr\xc3\xbcn <a@b>, \"\xc3\x84, B\" <c@d>\r\n" +
			"To: e@f (\xc3\xb6)\r\n\r\nx\r\n",
			"From: =?utf-8?b?SsO8cmcgR3LDvG4=?= <a@b>, =?utf-8?b?w4QsIEI=?= <c@d>\r\n" +
				"To: e@f (=?utf-8?b?w7Y=?=)\r\n\r\nx\r\n"},
		{"a line too long", "A: b\r\n\r\n" + strings.Repeat("x", 999) + "\r\n",
			"A: b\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n" +
				"Content-Transfer-Encoding: quoted-printable\r\n\r\n" +
				strings.Repeat(strings.Repeat("x", 75)+"=\r\n", 13) +
				strings.Repeat("x", 24) + "\r\n"},
		{"nothing to do", mixed, mixed},

		{"in an address", "From: \xc3\xbc@b\r\n\r\n", ""},
		{"in an address in brackets", "From: x <\xc3\xbc@b>\r\n\r\n", ""},
		{"in a quoted address", "From: \"\xc3\xbc\"@b\r\n\r\n", ""},
		{"in an identifier", "Message-ID: <\xc3\xbc@b>\r\n\r\n", ""},
		{"in junk", "\xc3\xbc\r\n\r\n", ""},
		{"in what is encoded", "Content-Transfer-Encoding: base64\r\n\r\n\xc3\xbc", ""},
		{"in a boundary",
			"Content-Type: multipart/mixed; boundary=\xfc\r\n\r\n--\xfc\r\n\r\nx", ""},
		{"no boundary", "Content-Type: multipart/mixed\r\n\r\n\xfc", ""},
		{"a boundary with stars",
			"Content-Type: multipart/mixed; boundary=\"*\"\r\n\r\n--\xfc\r\n--*\r\n\r\nx", ""},
		{"a status", "Content-Type: message/delivery-status\r\n\r\n\xfc", ""},
	} {
		for seed := range uint64(4) {
			got, ok := converted(t, c.in, seed)
			if got != c.want || ok != (c.want != "") {
				t.Errorf("%s: %v\n%q, want\n%q", c.name, ok, got, c.want)
				break
			}
			if ok {
				checkConverted(t, c.in, got)
			}
		}
	}
}

func TestSigned(t *testing.T) {
	for in, want := range map[string]bool{
		eightBitText:                           false,
		"DKIM-Signature: x\r\n" + eightBitText: true,
		"ARC-Seal: x\r\n" + eightBitText:       true,
		eightBitText + "DKIM-Signature: x\r\n": false,
		"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n":    true,
		"Content-Type: multipart/encrypted; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n": true,
		"Content-Type: application/pkcs7-mime\r\n\r\n":                                   true,
	} {
		_, err := NewConverter(func(fn func([]byte)) error {
			fn([]byte(in))
			return nil
		}, ConvertOptions{})
		if err != nil != want || want && !errors.Is(err, ErrSigned) {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func TestConverterReportsErrors(t *testing.T) {
	for calls := range 3 {
		_, err := NewConverter(func(fn func([]byte)) error {
			if calls--; calls < 0 {
				return io.ErrUnexpectedEOF
			}
			fn([]byte(eightBitText))
			return nil
		}, ConvertOptions{})
		if err != io.ErrUnexpectedEOF {
			t.Error(err)
		}
	}
}

// decodedParts returns the parts without parts of a message, as our own reader finds them.
func decodedParts(t *testing.T, in string) (list []string) {
	tree := Parse([]byte(in))
	for i := range tree.Parts {
		p := &tree.Parts[i]
		if p.Next > i+1 {
			continue
		}
		body := []byte(in[p.Body:p.End])
		if p.Encoding == Base64 || p.Encoding == QuotedPrintable {
			body = decodeBody(body, p.Encoding)
		}
		list = append(list, p.Type+"\n"+string(body))
	}
	return list
}

func decodeBody(body []byte, e Encoding) []byte {
	var r io.Reader = quotedprintable.NewReader(bytes.NewReader(body))
	if e == Base64 {
		r = base64.NewDecoder(base64.StdEncoding, bytes.NewReader(body))
	}
	out, err := io.ReadAll(r)
	if err != nil {
		return append([]byte("undecodable: "), body...)
	}
	return out
}

// checkConverted: a message is 7-bit, and its parts decode to what they were.
func checkConverted(t *testing.T, in, out string) {
	t.Helper()
	if wide(out) {
		t.Fatalf("%q is not 7-bit: %q", in, out)
	}
	for line := range strings.SplitSeq(out, "\r\n") {
		if len(line) > maxLine {
			t.Fatalf("%q: a line of %d octets in %q", in, len(line), out)
		}
	}
	before, after := decodedParts(t, in), decodedParts(t, out)
	if len(before) != len(after) {
		t.Fatalf("%q: parts\n%q, converted\n%q", in, before, after)
	}
	for i := range before {
		if before[i] != after[i] {
			t.Fatalf("%q: part\n%q, converted\n%q in %q", in, before[i], after[i], out)
		}
	}
}

// goParts returns the parts of a message as Go's packages find them, decoded.
func goParts(header map[string][]string, body io.Reader, list []string) ([]string, error) {
	get := func(name string) string { return mail.Header(header).Get(name) }
	kind, params, _ := mime.ParseMediaType(get("Content-Type"))
	if strings.HasPrefix(kind, "multipart/") && params["boundary"] != "" {
		for r := multipart.NewReader(body, params["boundary"]); ; {
			p, err := r.NextRawPart()
			if err == io.EOF {
				return list, nil
			}
			if err == nil {
				list, err = goParts(p.Header, p, list)
			}
			if err != nil {
				return list, err
			}
		}
	}
	if kind == "message/rfc822" {
		m, err := mail.ReadMessage(body)
		if err != nil {
			return list, err
		}
		return goParts(m.Header, m.Body, list)
	}
	content, err := io.ReadAll(body)
	switch strings.ToLower(strings.TrimSpace(get("Content-Transfer-Encoding"))) {
	case "base64":
		content = decodeBody(content, Base64)
	case "quoted-printable":
		content = decodeBody(content, QuotedPrintable)
	}
	return append(list, string(content)), err
}

// TestConvertedForGo: other readers find the same parts.
func TestConvertedForGo(t *testing.T) {
	for _, in := range []string{eightBitText, eightBitMixed, mixed} {
		out, _ := converted(t, in, 0)
		var parts [2]string
		for i, s := range []string{in, out} {
			m, err := mail.ReadMessage(strings.NewReader(s))
			if err != nil {
				t.Fatal(err)
			}
			list, err := goParts(m.Header, m.Body, nil)
			if err != nil {
				t.Fatal(err)
			}
			parts[i] = strings.Join(list, "|")
		}
		if parts[0] != parts[1] {
			t.Errorf("%q, converted %q", parts[0], parts[1])
		}
	}
}

// FuzzConvert: what is converted is 7-bit in lines of at most 998 octets, each part decodes to what
// it was, and it is the same in whatever pieces it comes.
func FuzzConvert(f *testing.F) {
	for i, s := range append(headers, mixed, eightBitText, eightBitMixed,
		"From: \"\xfc\" (a\xfc b) x\xfc y\xfc <a@b>\r\nX: \xfc \xfc y\r\n z \xfc\r\n\r\n",
		"Content-Type: x/y; z*='\xb4'\r\n\r\n",
		"Content-Type: x/y; a=\xfc; b*=utf-8'en'%ff; c=\"d\"\r\n\r\n\xfc \r\n\t\r\n=\r\n-\r\n.") {
		f.Add(s, uint64(i))
	}
	f.Fuzz(func(t *testing.T, in string, seed uint64) {
		in = strings.ReplaceAll(strings.ReplaceAll(in, "\r", ""), "\n", "\r\n")
		for line := range strings.SplitSeq(in, "\r\n") {
			if len(line) > maxLine {
				return
			}
		}
		out, ok := converted(t, in, seed)
		if other, okToo := converted(t, in, 0); ok != okToo || out != other {
			t.Fatalf("%q: %q, in pieces %q", in, other, out)
		}
		if ok {
			checkConverted(t, in, out)
		}
	})
}

// FuzzConvertBinary: where 8-bit octets may stay, what comes out is lines of text without a NUL,
// and each part decodes to what it was.
func FuzzConvertBinary(f *testing.F) {
	for i, s := range append(headers, mixed, eightBitText, eightBitMixed,
		"A: b\r\n\r\na\nb\rc\x00\r\n", "A: b\nC: d\r\r\n\r\r\nx\r",
		"Content-Type: multipart/mixed; boundary=b\n\n\x00\r--b\n--b\n\nx\r\n\n--b--\r\r\n"+
			"\x00", "Content-Type: multipart/mixed; boundary=b\n\n--b\r \n\nx") {
		f.Add(s, uint64(i))
	}
	f.Fuzz(func(t *testing.T, in string, seed uint64) {
		o := ConvertOptions{Signed: true, EightBit: true}
		out, ok := convertedBy(t, in, seed, o)
		if !ok {
			return
		}
		text := strings.ReplaceAll(out, "\r\n", "")
		if strings.ContainsAny(text, "\r\n\x00") || !strings.HasSuffix(out, "\r\n") {
			t.Fatalf("%q became %q", in, out)
		}
		before, after := Parse([]byte(in)), Parse([]byte(out))
		if len(before.Parts) != len(after.Parts) {
			t.Fatalf("%q: %d parts, converted %d in %q", in, len(before.Parts), len(after.Parts),
				out)
		}
		for i := range before.Parts {
			p, q := &before.Parts[i], &after.Parts[i]
			if p.Next > i+1 || !p.Encoding.Identity() || q.Encoding.Identity() {
				continue
			}
			want := in[p.Body:p.End]
			if got := decodeBody([]byte(out[q.Body:q.End]), q.Encoding); string(got) != want {
				t.Fatalf("%q: part %q, converted %q in %q", in, want, got, out)
			}
		}
	})
}
