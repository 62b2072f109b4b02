package rsasign

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"math/big"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// generated keeps one key of each length for all tests.
var generated struct {
	sync.Mutex
	keys map[int]*rsa.PrivateKey
}

func generate(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	generated.Lock()
	defer generated.Unlock()
	if k := generated.keys[bits]; k != nil {
		return k
	}
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	if generated.keys == nil {
		generated.keys = map[int]*rsa.PrivateKey{}
	}
	generated.keys[bits] = k
	return k
}

func pkcs8(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func parsed(t testing.TB, bits int) *Key {
	t.Helper()
	k, err := Parse(x509.MarshalPKCS1PrivateKey(generate(t, bits)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

func digestOf(n int) [32]byte {
	return sha256.Sum256(binary.AppendVarint(nil, int64(n)))
}

// TestSameOctets: the signature is the one that crypto/rsa makes, for each length and both forms.
func TestSameOctets(t *testing.T) {
	for _, bits := range []int{1024, 1536, 2048, 3072, 4096} {
		key := generate(t, bits)
		for form, der := range map[string][]byte{
			"PKCS #1": x509.MarshalPKCS1PrivateKey(key), "PKCS #8": pkcs8(t, key)} {
			k, err := Parse(der)
			if err != nil {
				t.Fatalf("%d bits, %s: %v", bits, form, err)
			}
			clear(der) // Parse keeps nothing of it
			if !k.Public().Equal(&key.PublicKey) || k.Bits() != bits {
				t.Errorf("%d bits, %s: another public key", bits, form)
			}
			for i := range 5 {
				digest := digestOf(i)
				want, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
				if err != nil {
					t.Fatal(err)
				}
				got, err := k.Append([]byte("b="), digest)
				if err != nil || string(got) != "b="+string(want) {
					t.Errorf("%d bits, %s: %x, %v, want %x", bits, form, got, err, want)
				}
			}
			k.Close()
		}
	}
}

func TestRefused(t *testing.T) {
	good := generate(t, 1024)
	der := x509.MarshalPKCS1PrivateKey(good)
	_, edwards, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		der  []byte
		want string
	}{
		"nothing":        {nil, "empty"},
		"garbage":        {[]byte("-----BEGIN PRIVATE KEY-----"), "no RSA private key"},
		"a part":         {der[:len(der)/2], "no RSA private key"},
		"trailing":       {append(slices.Clone(der), 0), "no RSA private key"},
		"a public key":   {x509.MarshalPKCS1PublicKey(&good.PublicKey), "no RSA private key"},
		"Ed25519":        {pkcs8(t, edwards), "not an RSA key"},
		"ECDSA":          {pkcs8(t, curve), "not an RSA key"},
		"8192 bits":      {ofModulus(t, 8192), ""},
		"768 bits":       {short, "has 768 bits"},
		"mixed exponent": {mixed(t), ""},
	} {
		k, err := Parse(c.der)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
		if k != nil {
			t.Errorf("%s: a key with an error", what)
		}
	}
}

// mixed is a key whose private exponents belong to another one.
func mixed(t *testing.T) []byte {
	a, b := *generate(t, 1024), generate(t, 1536)
	a.D = b.D
	a.Precomputed = rsa.PrecomputedValues{Dp: b.Precomputed.Dp, Dq: b.Precomputed.Dq,
		Qinv: b.Precomputed.Qinv}
	return marshal(t, &a)
}

// ofModulus is a key in form, with a modulus of that many bits.
func ofModulus(t *testing.T, bits int) []byte {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	n.SetBit(n, 0, 1)
	k := *generate(t, 1024)
	k.N = n
	return marshal(t, &k)
}

func TestAfterClose(t *testing.T) {
	k := parsed(t, 1024)
	public := k.Public()
	k.Close()
	k.Close()
	b, err := k.Append([]byte("x"), digestOf(1))
	if !errors.Is(err, ErrClosed) || string(b) != "x" {
		t.Errorf("%q, %v", b, err)
	}
	if k.Public() != public || k.Bits() != 1024 {
		t.Error("the public key is gone")
	}
}

// TestManyAtOnce: many goroutines sign with one key, right each time, while another one closes it.
func TestManyAtOnce(t *testing.T) {
	k := parsed(t, 1024)
	const workers, each = 16, 40
	var want [each][]byte
	for i := range want {
		var err error
		if want[i], err = k.Sign(digestOf(i)); err != nil {
			t.Fatal(err)
		}
	}
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for i := range each {
				if got, err := k.Sign(digestOf(i)); err != nil || !slices.Equal(got, want[i]) {
					t.Errorf("signature %d: %x, %v", i, got, err)
				}
			}
		})
	}
	wait.Wait()
	for range workers {
		wait.Go(func() {
			for i := range each {
				got, err := k.Sign(digestOf(i))
				if err != nil && !errors.Is(err, ErrClosed) ||
					err == nil && !slices.Equal(got, want[i]) {
					t.Errorf("signature %d: %x, %v", i, got, err)
				}
			}
		})
	}
	wait.Go(k.Close)
	wait.Wait()
}

func TestImplementation(t *testing.T) {
	s := Implementation()
	if !strings.HasPrefix(s, "OpenSSL 3.") && s != "crypto/rsa of "+runtime.Version() {
		t.Errorf("%q", s)
	}
}

// FuzzParse: no input crashes, and a key that is taken signs so that its public half agrees.
func FuzzParse(f *testing.F) {
	key := generate(f, 1024)
	f.Add(x509.MarshalPKCS1PrivateKey(key))
	f.Add(pkcs8(f, key))
	f.Add(short)
	f.Add([]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, der []byte) {
		k, err := Parse(der)
		if err != nil {
			return
		}
		defer k.Close()
		digest := digestOf(7)
		sig, err := k.Sign(digest)
		if err == nil {
			err = rsa.VerifyPKCS1v15(k.Public(), crypto.SHA256, digest[:], sig)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	for _, bits := range []int{1024, 2048, 4096} {
		b.Run(big.NewInt(int64(bits)).String(), func(b *testing.B) {
			k := parsed(b, bits)
			digest := digestOf(1)
			var sig []byte
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if sig, err = k.Append(sig[:0], digest); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
