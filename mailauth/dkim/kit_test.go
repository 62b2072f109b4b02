package dkim

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/message"
)

// signedAt is when the tests sign.
var signedAt = time.Unix(1_700_000_000, 0)

var rsaKey, edwardsKey = sync.OnceValue(func() *Key { return newKey(RSASHA256, 1024) }),
	sync.OnceValue(func() *Key { return newKey(Ed25519SHA256, 0) })

func newKey(algorithm string, bits int) *Key {
	text, err := GenerateKey(algorithm, bits)
	if err != nil {
		panic(err)
	}
	key, err := ParseKey(text)
	if err != nil {
		panic(err)
	}
	return key
}

func signature(t testing.TB, options Options, signer Signer) *Signature {
	t.Helper()
	if options.Domain == "" {
		options.Domain = "signer.example"
	}
	if options.Selector == "" {
		options.Selector = "s1"
	}
	s, err := NewSignature(options, signer)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sign returns the message with its signatures in front, as SMTP carries it: a last line that has
// no end gets one.
func sign(t testing.TB, mail string, signatures ...*Signature) (string, error) {
	t.Helper()
	head, body := message.Split([]byte(mail))
	hash := NewBodyHash(Relaxed, Simple)
	hash.Write(body)
	fields, err := Sign(head, hash, signatures, signedAt)
	if !strings.HasSuffix(mail, "\r\n") {
		mail += "\r\n"
	}
	return string(fields) + mail, err
}

// published returns the TXT records of the keys, as a look-up of them gives them.
func published(domain string, keys map[string]*Key) map[string]string {
	records := map[string]string{}
	for selector, k := range keys {
		r, err := RecordOf(k.Public())
		if err != nil {
			panic(err)
		}
		records[RecordName(selector, domain)] = r.Text()
	}
	return records
}

// testKeys are by their selectors.
func testKeys() map[string]*Key {
	return map[string]*Key{"r1": rsaKey(), "e1": edwardsKey()}
}

// testSignatures are all pairs of canonical forms, in turns of both algorithms.
func testSignatures(t testing.TB) (list []*Signature) {
	for i, c := range [][2]Canon{{Relaxed, Relaxed}, {Simple, Simple}, {Relaxed, Simple},
		{Simple, Relaxed}} {
		o := Options{Selector: "r1", Header: c[0], Body: c[1]}
		signer := rsaKey().Signer
		if i%2 == 1 {
			o.Selector, signer = "e1", edwardsKey()
		}
		if i == 2 {
			o.Identity = "@mail.signer.example"
		}
		list = append(list, signature(t, o, signer))
	}
	return list
}

// varied makes a message of all that mail brings that has one meaning. The same seed makes the same
// one.
func varied(seed uint64) string {
	r := rand.New(rand.NewPCG(seed, 6376))
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	text := func(most int, more ...string) string {
		var b strings.Builder
		words := append([]string{"word", "a", "Grüße", "=?utf-8?q?x?=", "\xe4\xf6", "<a@b.example>",
			";", "b=", ":", ",", "\x01"}, more...)
		for range r.IntN(most) {
			b.WriteString(pick(words...) + pick("", " ", " ", " ", "  ", "\t", " \t "))
		}
		return b.String()
	}
	names := []string{"Received", "X-Own"}
	for _, f := range DefaultFields() {
		if f.Name != "From" {
			names = append(names, f.Name)
		}
	}
	var fields []string
	for range r.IntN(25) {
		name := pick(names...)
		name = pick(name, strings.ToLower(name), strings.ToUpper(name))
		value := text(12, "\r\n ", "\r\n\t", " \r\n  \t")
		fields = append(fields, name+":"+pick("", " ", "\t")+value+"\r\n")
	}
	at := r.IntN(len(fields) + 1)
	fields = append(fields[:at:at], append([]string{"From: " + text(3) + "a@signer.example\r\n"},
		fields[at:]...)...)
	var body strings.Builder
	for range r.IntN(20) {
		switch r.IntN(8) {
		case 0:
			body.WriteString(strings.Repeat(text(9), 40))
		case 1, 2:
		default:
			body.WriteString(text(10, ".", "\x00", "\x80"))
		}
		body.WriteString("\r\n")
	}
	body.WriteString(pick("", "", "\r\n\r\n", " ", "no end", " \t\r\n \r\n"))
	return strings.Join(fields, "") + "\r\n" + body.String()
}

// reference makes the canonical form of a body in the words of RFC 6376 3.4.3 and 3.4.4.
func reference(body string, form Canon) string {
	body = strings.ReplaceAll(strings.ReplaceAll(body, "\r\n", "\n"), "\n", "\r\n")
	lines := strings.Split(body, "\r\n")
	if form == Relaxed {
		for i, line := range lines {
			var b bytes.Buffer
			for j := range len(line) {
				c := line[j]
				if c == '\t' {
					c = ' '
				}
				if c != ' ' || !bytes.HasSuffix(b.Bytes(), []byte(" ")) {
					b.WriteByte(c)
				}
			}
			lines[i] = strings.TrimSuffix(b.String(), " ")
		}
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	if len(lines) == 0 && form == Relaxed {
		return ""
	}
	return strings.Join(lines, "\r\n") + "\r\n"
}

// edwards is a Signer whose work is small, for measurements of all else.
func edwards(tb testing.TB) ed25519.PrivateKey {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		tb.Fatal(err)
	}
	return private
}

// fixed is a Signer that does nothing.
type fixed struct{ sig []byte }

func (f fixed) Sign([32]byte) ([]byte, error) { return f.sig, nil }
func (fixed) Algorithm() string               { return RSASHA256 }

// broken is a Signer that fails.
type broken struct{}

func (broken) Sign([32]byte) ([]byte, error) { return nil, fmt.Errorf("the token is gone") }
func (broken) Algorithm() string             { return RSASHA256 }
