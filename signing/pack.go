package signing

import (
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"

	"github.com/postroad/postroad/mailauth/dkim"
)

// A packed key is what cannot be computed of a private key: two prime numbers of RSA, the seed of
// Ed25519. An RSA-2048 key has 263 octets so and 1,217 in PKCS #8, and a cluster may have 200,000.
//
//	1, exponent (4 octets), length of the first prime (2 octets), the primes   RSA
//	2, the seed (32 octets)                                                    Ed25519
const (
	packedRSA     = 1
	packedEd25519 = 2
)

var errPacked = errors.New("the private key is damaged")

// Pack returns the one private key in a PEM text in a short form.
func Pack(text []byte) ([]byte, error) {
	key, err := dkim.ParseKey(text) // says what is wrong with it
	if err != nil {
		return nil, err
	}
	key.Close()
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		var any any
		switch block.Type {
		case "PRIVATE KEY":
			any, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			any, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		default:
			continue
		}
		if err != nil {
			return nil, err
		}
		switch k := any.(type) {
		case ed25519.PrivateKey:
			return append([]byte{packedEd25519}, k.Seed()...), nil
		case *rsa.PrivateKey:
			return packRSA(k)
		}
	}
	return nil, errPacked
}

func packRSA(k *rsa.PrivateKey) ([]byte, error) {
	if len(k.Primes) != 2 {
		return nil, fmt.Errorf("an RSA key of %d prime numbers cannot be kept; use one of two",
			len(k.Primes))
	}
	p := k.Primes[0].Bytes()
	b := binary.BigEndian.AppendUint32([]byte{packedRSA}, uint32(k.E))
	b = binary.BigEndian.AppendUint16(b, uint16(len(p)))
	return append(append(b, p...), k.Primes[1].Bytes()...), nil
}

// unpack returns the PEM text of a packed key.
func unpack(b []byte) ([]byte, error) {
	var key any
	switch {
	case len(b) == 1+ed25519.SeedSize && b[0] == packedEd25519:
		key = ed25519.NewKeyFromSeed(b[1:])
	case len(b) > 7 && b[0] == packedRSA:
		p := int(binary.BigEndian.Uint16(b[5:]))
		if 7+p >= len(b) {
			return nil, errPacked
		}
		k, err := rsaOf(int(binary.BigEndian.Uint32(b[1:])), b[7:7+p], b[7+p:])
		if err != nil {
			return nil, err
		}
		key = k
	default:
		return nil, errPacked
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, errPacked
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// rsaOf computes the rest of an RSA key.
func rsaOf(e int, p, q []byte) (*rsa.PrivateKey, error) {
	one := big.NewInt(1)
	k := &rsa.PrivateKey{Primes: []*big.Int{new(big.Int).SetBytes(p), new(big.Int).SetBytes(q)}}
	k.E, k.N = e, new(big.Int).Mul(k.Primes[0], k.Primes[1])
	phi := new(big.Int).Mul(new(big.Int).Sub(k.Primes[0], one), new(big.Int).Sub(k.Primes[1], one))
	if phi.Sign() <= 0 || e < 3 {
		return nil, errPacked
	}
	if k.D = new(big.Int).ModInverse(big.NewInt(int64(e)), phi); k.D == nil {
		return nil, errPacked
	}
	if k.Validate() != nil {
		return nil, errPacked
	}
	k.Precompute()
	return k, nil
}
