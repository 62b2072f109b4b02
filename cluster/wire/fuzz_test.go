package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"
)

func FuzzFrame(f *testing.F) {
	for _, s := range []string{"", "y\x00\x00\x00\x00", "n\x00\x00\x00\x02no",
		"q\x00\x00\x00\x05{}", "y\xff\xff\xff\xff", "z\x00\x00\x00\x00", "n\x00\x00\x04\x01"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		k, body, err := readFrame(bytes.NewReader(b), maxWords)
		if err != nil {
			return
		}
		if len(body) > maxWords {
			t.Fatalf("a body of %d octets", len(body))
		}
		var again bytes.Buffer
		if err := writeFrame(&again, k, body); err != nil || !bytes.HasPrefix(b, again.Bytes()) {
			t.Errorf("%q became %q", b, again.Bytes())
		}
	})
}

func FuzzRefusal(f *testing.F) {
	f.Add([]byte("member 3 was removed"))
	f.Add([]byte("\x1b[2J\r\n\xff\u202e"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for k, want := range map[kind]error{no: ErrJoinDenied, later: ErrNotNow, never: ErrFinal} {
			err := refusal(k, b)
			if !errors.Is(err, want) || errors.Is(err, ErrFinal) != (k == never) {
				t.Error(err)
			}
			for _, c := range err.Error() {
				if !unicode.IsPrint(c) {
					t.Errorf("%q would reach a terminal", err.Error())
				}
			}
		}
	})
}

func FuzzPreface(f *testing.F) {
	for _, s := range []string{"", "H", "J", "R", "R\x00\x00\x00\x00\x00\x00\x00\x07", "GET"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := readPreface(bytes.NewReader(b))
		if err == nil && !bytes.HasPrefix(b, p.append(nil)) {
			t.Errorf("%q became %q", b, p.append(nil))
		}
	})
}

func FuzzIdentity(f *testing.F) {
	f.Add("postroad://test/1/00000000000003e9")
	f.Add("postroad://a/65535/ffffffffffffffff")
	f.Add("postroad:///1/0")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseIdentity(s)
		if err == nil && (id.String() != s || id.check() != nil) {
			t.Errorf("%q became %v", s, id)
		}
	})
}

func FuzzMemberOf(f *testing.F) {
	for _, s := range []string{"2:80", "0:80", "02:80", "65536:80", "[::1]:80", "2:81", "2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if m, err := memberOf(s); err == nil && memberAddr(m).String()+":80" != s &&
			"["+memberAddr(m).String()+"]:80" != s {
			t.Errorf("%q is member %d", s, m)
		}
	})
}

// FuzzJoinRequest: what a new node says does not hurt who hears it.
func FuzzJoinRequest(f *testing.F) {
	csr, _, err := NewRequest()
	if err != nil {
		f.Fatal(err)
	}
	good, err := json.Marshal(JoinRequest{Name: "mx2", Incarnation: 1<<64 - 1, CSR: csr})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(byte(ask), good)
	f.Add(byte(yes), good)
	f.Add(byte(ask), []byte(`{"CSR":"AAAA"}`))
	f.Add(byte(ask), []byte(`{"Incarnation":-1}`))
	f.Fuzz(func(t *testing.T, k byte, body []byte) {
		r, err := parseRequestJoin(kind(k), body)
		if err != nil {
			return
		}
		if _, err := parseRequest(r.CSR); err != nil || kind(k) != ask {
			t.Errorf("%q was taken", body)
		}
	})
}

// FuzzJoinReply: a new node takes only a certificate that is its own.
func FuzzJoinReply(f *testing.F) {
	a := newAuthority(f, "test")
	csr, key, err := NewRequest()
	if err != nil {
		f.Fatal(err)
	}
	cert, err := Sign(a.cert, a.key, csr, Identity{"test", 2, 9})
	if err != nil {
		f.Fatal(err)
	}
	good, err := json.Marshal(JoinReply{Cluster: "test", Member: 2, CA: a.cert, Cert: cert,
		Members: map[uint16]string{1: "mx1:1"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(byte(yes), good)
	f.Add(byte(yes), bytes.Replace(good, []byte(`"Member":2`), []byte(`"Member":3`), 1))
	f.Add(byte(ask), good)
	f.Add(byte(yes), []byte(`{"Members":{"70000":""}}`))
	f.Fuzz(func(t *testing.T, k byte, body []byte) {
		reply, err := parseReply(kind(k), body, JoinRequest{Incarnation: 9, CSR: csr})
		if err != nil {
			return
		}
		id, err := Credentials{CA: reply.CA, Cert: reply.Cert, Key: key}.Identity()
		if err != nil || id != (Identity{reply.Cluster, reply.Member, 9}) {
			t.Errorf("joined as %v: %v", id, err)
		}
	})
}

// FuzzCredentials: files that were damaged are refused, with words.
func FuzzCredentials(f *testing.F) {
	a := newAuthority(f, "test")
	c := a.credentials(f, Identity{"test", 1, 1})
	f.Add(c.CA, c.Cert, c.Key)
	f.Add(c.Cert, c.CA, c.Key)
	f.Add(c.CA, c.Cert, spoil(c.Key))
	f.Add([]byte{}, []byte(strings.Repeat("-----BEGIN CERTIFICATE-----\n", 3)), c.Key)
	f.Fuzz(func(t *testing.T, ca, cert, key []byte) {
		id, err := Credentials{CA: ca, Cert: cert, Key: key}.Identity()
		if err == nil && id.check() != nil {
			t.Errorf("they are of %v", id)
		}
		_, _ = Sign(ca, key, cert, Identity{"test", 1, 1})
	})
}
