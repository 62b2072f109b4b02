package dkim

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/postroad/postroad/internal/rsasign"
)

func TestGenerateKey(t *testing.T) {
	for _, c := range []struct {
		algorithm string
		bits      int
		want      int // bits of the key; 0 for Ed25519
	}{{RSASHA256, 0, 2048}, {RSASHA256, 1024, 1024}, {RSASHA256, 1536, 1536},
		{Ed25519SHA256, 0, 0}} {
		text, err := GenerateKey(c.algorithm, c.bits)
		if err != nil {
			t.Fatal(err)
		}
		key, err := ParseKey(text)
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		if public, ok := key.Public().(*rsa.PublicKey); ok {
			got = public.N.BitLen()
		}
		if key.Algorithm() != c.algorithm || got != c.want {
			t.Errorf("%s, %d: %s, %d", c.algorithm, c.bits, key.Algorithm(), got)
		}
		key.Close()
		if _, err := key.Sign([32]byte{}); c.algorithm == RSASHA256 &&
			!errors.Is(err, rsasign.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
	for want, c := range map[string]struct {
		algorithm string
		bits      int
	}{"1000": {RSASHA256, 1000}, "8192": {RSASHA256, 8192}, "2047": {RSASHA256, 2047},
		"cannot be chosen": {Ed25519SHA256, 256}, `no algorithm "rsa-sha1"`: {"rsa-sha1", 0}} {
		if _, err := GenerateKey(c.algorithm, c.bits); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestParseKeyRefused(t *testing.T) {
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(curve)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(curve)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	certificate := block("CERTIFICATE", []byte("x"))
	for text, want := range map[string]string{
		"": "no private key in PEM", certificate: "no private key in PEM",
		rfc6376Key + rfc6376Key:                     "more than one",
		block("ENCRYPTED PRIVATE KEY", []byte("x")): "is encrypted",
		"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n" +
			"DEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n": "is encrypted",
		block("EC PRIVATE KEY", sec1):           "an RSA or Ed25519 key",
		block("PRIVATE KEY", pkcs8):             "not an RSA key",
		block("PRIVATE KEY", []byte("garbage")): "no RSA private key",
		block("PRIVATE KEY", edwardsBroken):     "no Ed25519 private key",
	} {
		if _, err := ParseKey([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
	if k, err := ParseKey([]byte("text\n" + certificate + rfc6376Key)); err != nil {
		t.Error(err)
	} else {
		k.Close()
	}
}

// edwardsBroken says that it is an Ed25519 key and has four octets of one.
var edwardsBroken = []byte{0x30, 0x12, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 6, 4, 4, 1, 2,
	3, 4}
