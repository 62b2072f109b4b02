package dkim

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/postroad/postroad/internal/message"
)

// rfc6376Key is the private key of RFC 6376 appendix C.
const rfc6376Key = `-----BEGIN RSA PRIVATE KEY-----
MIICXwIBAAKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYtIxN2SnFC
jxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gb
to/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB
AoGBALmn+XwWk7akvkUlqb+dOxyLB9i5VBVfje89Teolwc9YJT36BGN/l4e0l6QX
/1//6DWUTB3KI6wFcm7TWJcxbS0tcKZX7FsJvUz1SbQnkS54DJck1EZO/BLa5ckJ
gAYIaqlA9C0ZwM6i58lLlPadX/rtHb7pWzeNcZHjKrjM461ZAkEA+itss2nRlmyO
n1/5yDyCluST4dQfO8kAB3toSEVc7DeFeDhnC1mZdjASZNvdHS4gbLIA1hUGEF9m
3hKsGUMMPwJBAPW5v/U+AWTADFCS22t72NUurgzeAbzb1HWMqO4y4+9Hpjk5wvL/
eVYizyuce3/fGke7aRYw/ADKygMJdW8H/OcCQQDz5OQb4j2QDpPZc0Nc4QlbvMsj
7p7otWRO5xRa6SzXqqV3+F0VpqvDmshEBkoCydaYwc2o6WQ5EBmExeV8124XAkEA
qZzGsIxVP+sEVRWZmW6KNFSdVUpk3qzK0Tz/WjQMe5z0UunY9Ax9/4PVhp/j61bf
eAYXunajbBSOLlx4D+TunwJBANkPI5S9iylsbLs6NkaMHV6k5ioHBBmgCak95JGX
GMot/L2x0IYyMLAz6oLWh2hm7zwtb0CgOrPo1ke44hFYnfc=
-----END RSA PRIVATE KEY-----
`

// rfc8463Seed and rfc8463Record are of RFC 8463 appendix A.
const (
	rfc8463Seed   = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
	rfc8463Record = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
	rfc8463RSA    = "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWR" +
		"iGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutAC" +
		"DfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3" +
		"Ip3G+2kryOTIKT+l/K4w3QIDAQAB"
)

// dinner is the message of both.
const dinner = `From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game. Are you hungry yet?

Joe.
`

const rfc6376Signature = `DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;
      c=simple/simple; q=dns/txt; i=joe@football.example.com;
      h=Received : From : To : Subject : Date : Message-ID;
      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB
      4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut
      KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV
      4bmp/YzhwvcubU4=;
`

const rfc6376Received = `Received: from client1.football.example.com  [192.0.2.1]
      by submitserver.example.com with SUBMISSION;
      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)
`

const rfc8463Edwards = `DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
`

const rfc8463Signature = `DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
`

func withCRLF(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// TestExamplesOfRFCs: with our canonical forms and our choice of fields the signatures of RFC 6376
// appendix A and RFC 8463 appendix A verify, and where the RFC has the private key, signing makes
// the same octets.
func TestExamplesOfRFCs(t *testing.T) {
	brisbane, err := ParseKey([]byte(rfc6376Key))
	if err != nil {
		t.Fatal(err)
	}
	seed, err := base64.StdEncoding.DecodeString(rfc8463Seed)
	if err != nil {
		t.Fatal(err)
	}
	private := ed25519.NewKeyFromSeed(seed)
	records := map[string]Record{}
	for name, text := range map[string]string{"edwards": rfc8463Record, "rsa": rfc8463RSA} {
		r, err := ParseRecord(text)
		if err != nil {
			t.Fatal(err)
		}
		records[name] = r
	}
	if !records["edwards"].IsOf(private.Public()) {
		t.Error("the keys of RFC 8463 A.1 and A.2 do not belong together")
	}
	for _, c := range []struct {
		name, field, mail string
		form              Canon
		public            crypto.PublicKey
		signer            Signer // nil: the RFC has no private key
	}{
		{"RFC 6376 A", rfc6376Signature, rfc6376Received + dinner, Simple, brisbane.Public(),
			brisbane},
		{"RFC 8463 A, Ed25519", rfc8463Edwards, dinner, Relaxed, records["edwards"].Key,
			Ed25519(private)},
		{"RFC 8463 A, RSA", rfc8463Signature, dinner, Relaxed, records["rsa"].Key, nil},
	} {
		tags, _, err := parseTags(strings.TrimPrefix(c.field, "DKIM-Signature:"))
		if err != nil {
			t.Fatal(err)
		}
		head, body := message.Split([]byte(withCRLF(c.mail)))
		hash := NewBodyHash(c.form)
		hash.Write(body)
		sum, err := hash.Sum(c.form)
		if got := base64.StdEncoding.EncodeToString(sum[:]); err != nil || got != tags["bh"] {
			t.Errorf("%s: bh=%s, %v", c.name, got, err)
		}
		h, err := parseHeader(head)
		if err != nil {
			t.Fatal(err)
		}
		names := regexp.MustCompile(`\s*:\s*`).Split(tags["h"], -1)
		text := h.appendCovered(nil, names, c.form)
		unsigned := regexp.MustCompile(`([ ;]b=)[^;]*`).ReplaceAllString(c.field, "$1")
		unsigned = strings.TrimSuffix(unsigned, "\n")
		text = appendField(text, []byte(withCRLF(unsigned)), c.form)
		digest := sha256.Sum256(bytes.TrimSuffix(text, []byte("\r\n")))
		want, err := decodeBase64(tags["b"])
		if err != nil {
			t.Fatal(err)
		}
		switch public := c.public.(type) {
		case *rsa.PublicKey:
			if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], want); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		case ed25519.PublicKey:
			if !ed25519.Verify(public, digest[:], want) {
				t.Errorf("%s does not verify", c.name)
			}
		}
		if c.signer != nil {
			if got, err := c.signer.Sign(digest); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: signed %x, %v, want %x", c.name, got, err, want)
			}
		}
	}
}

// TestExampleKeyInBothForms: the same key in PKCS #1 and PKCS #8.
func TestExampleKeyInBothForms(t *testing.T) {
	block, _ := pem.Decode([]byte(rfc6376Key))
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	for _, text := range []string{rfc6376Key, string(text)} {
		k, err := ParseKey([]byte(text))
		if err != nil || !key.PublicKey.Equal(k.Public()) || k.Algorithm() != RSASHA256 {
			t.Errorf("%v, %v", k, err)
		}
	}
}
