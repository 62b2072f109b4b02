//go:build !libcrypto

package rsasign

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"runtime"
)

// Implementation says whose RSA this is, with its version.
func Implementation() string { return "crypto/rsa of " + runtime.Version() }

// private is the key as crypto/rsa has it.
type private struct{ key *rsa.PrivateKey }

func parse(der []byte) (*private, *rsa.PublicKey, error) {
	key, err := parsePKCS(der)
	if err != nil {
		return nil, nil, err
	}
	if err := checkBits(key.N.BitLen()); err != nil {
		return nil, nil, err
	}
	return &private{key}, &rsa.PublicKey{N: new(big.Int).Set(key.N), E: key.E}, nil
}

// parsePKCS tells PKCS #8 and PKCS #1 apart by trying both. What the error says is of the form that
// the key has more likely.
func parsePKCS(der []byte) (*rsa.PrivateKey, error) {
	key, err := x509.ParsePKCS1PrivateKey(der)
	if err == nil {
		return key, nil
	}
	other, err8 := x509.ParsePKCS8PrivateKey(der)
	if err8 != nil {
		return nil, fmt.Errorf("this is no RSA private key: as PKCS #8: %w; as PKCS #1: %w",
			err8, err)
	}
	if key, ok := other.(*rsa.PrivateKey); ok {
		return key, nil
	}
	return nil, errors.New("the private key is not an RSA key")
}

func (p *private) append(b []byte, digest *[32]byte, _ int) ([]byte, error) {
	sig, err := rsa.SignPKCS1v15(nil, p.key, crypto.SHA256, digest[:])
	if err != nil {
		return b, fmt.Errorf("make an RSA signature: %w", err)
	}
	return append(b, sig...), nil
}

// free wipes the numbers that crypto/rsa shows. It has made others of them that it does not show;
// the garbage collector takes those, and nothing wipes them.
func (p *private) free() {
	numbers := append([]*big.Int{p.key.D, p.key.Precomputed.Dp, p.key.Precomputed.Dq,
		p.key.Precomputed.Qinv}, p.key.Primes...)
	for _, v := range p.key.Precomputed.CRTValues {
		numbers = append(numbers, v.Exp, v.Coeff, v.R)
	}
	for _, n := range numbers {
		if n != nil {
			clear(n.Bits())
		}
	}
	p.key = nil
}
