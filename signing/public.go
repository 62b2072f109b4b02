package signing

import (
	"crypto/rsa"

	"github.com/postroad/postroad/mailauth/dkim"
)

// recordOfPrivate returns the record of a private key in PEM.
func recordOfPrivate(text []byte) (dkim.Record, error) {
	key, err := dkim.ParseKey(text)
	if err != nil {
		return dkim.Record{}, err
	}
	defer key.Close()
	return dkim.RecordOf(key.Public())
}

// bitsOf returns the length of an RSA key, 0 of another.
func bitsOf(r dkim.Record) int {
	if k, ok := r.Key.(*rsa.PublicKey); ok {
		return k.N.BitLen()
	}
	return 0
}

// algorithmOf returns the algorithm of signatures with a kind of key.
func algorithmOf(kind string) string {
	switch kind {
	case dkim.KeyRSA:
		return dkim.RSASHA256
	case dkim.KeyEd25519:
		return dkim.Ed25519SHA256
	}
	return kind
}
