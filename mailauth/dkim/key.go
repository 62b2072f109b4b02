package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/postroad/postroad/internal/rsasign"
)

// DefaultBits is the length of new RSA keys: signers should take at least that (RFC 8301 3.2), and
// its record fits what name servers send over UDP.
const DefaultBits = 2048

// Key is a private key that signs, with its public half.
type Key struct {
	Signer
	public crypto.PublicKey
	rsa    *rsasign.Key // nil for Ed25519
}

// GenerateKey makes a private key for an algorithm and returns it in PEM (PKCS #8). bits is the
// length of an RSA key from rsasign.MinBits to rsasign.MaxBits, 0 for DefaultBits; an Ed25519 key
// has none.
func GenerateKey(algorithm string, bits int) ([]byte, error) {
	var key any
	var err error
	switch algorithm {
	case RSASHA256:
		if bits == 0 {
			bits = DefaultBits
		}
		if bits < rsasign.MinBits || bits > rsasign.MaxBits || bits%8 != 0 {
			return nil, fmt.Errorf("an RSA key of %d bits is not made: from %d to %d, "+
				"a multiple of 8", bits, rsasign.MinBits, rsasign.MaxBits)
		}
		key, err = rsa.GenerateKey(rand.Reader, bits)
	case Ed25519SHA256:
		if bits != 0 {
			return nil, errors.New("the length of an Ed25519 key cannot be chosen")
		}
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		return nil, fmt.Errorf("there is no algorithm %q: %s or %s", algorithm, RSASHA256,
			Ed25519SHA256)
	}
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode the new key: %w", err)
	}
	defer clear(der)
	return pem.EncodeToMemory(&pem.Block{Type: pemPKCS8, Bytes: der}), nil
}

const (
	pemPKCS8 = "PRIVATE KEY"
	pemPKCS1 = "RSA PRIVATE KEY"
)

// ParseKey reads the one private key in a PEM text: RSA in PKCS #8 or PKCS #1, Ed25519 in PKCS #8.
// Other blocks, such as certificates, are passed over. Close the key when it is not used any more.
func ParseKey(text []byte) (*Key, error) {
	var found *pem.Block
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		defer clear(block.Bytes)
		if found != nil {
			return nil, errors.New("there is more than one private key in the PEM text")
		}
		found = block
	}
	switch {
	case found == nil:
		return nil, errors.New("there is no private key in PEM: no -----BEGIN PRIVATE KEY-----")
	case strings.HasPrefix(found.Type, "ENCRYPTED") || found.Headers["DEK-Info"] != "":
		return nil, errors.New("the private key is encrypted: decrypt it first, for example with " +
			"`openssl pkey`")
	case found.Type != pemPKCS8 && found.Type != pemPKCS1:
		return nil, fmt.Errorf("a %s cannot sign mail: make an RSA or Ed25519 key", found.Type)
	}
	return parseDER(found.Bytes)
}

func parseDER(der []byte) (*Key, error) {
	if isEd25519(der) {
		key, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			return nil, fmt.Errorf("this is no Ed25519 private key: %w", err)
		}
		edwards := key.(ed25519.PrivateKey)
		return &Key{Signer: Ed25519(edwards), public: edwards.Public()}, nil
	}
	key, err := rsasign.Parse(der)
	if err != nil {
		return nil, err
	}
	return &Key{Signer: RSA(key), public: key.Public(), rsa: key}, nil
}

// isEd25519 reports whether a key in PKCS #8 says that it is one (RFC 8410 3). An RSA key is not
// parsed here, so that its numbers are only where rsasign wipes them.
func isEd25519(der []byte) bool {
	var form struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.RawValue
	}
	_, err := asn1.Unmarshal(der, &form)
	return err == nil && form.Algorithm.Algorithm.Equal(asn1.ObjectIdentifier{1, 3, 101, 112})
}

// Public returns the public key, an *rsa.PublicKey or an ed25519.PublicKey.
func (k *Key) Public() crypto.PublicKey { return k.public }

// Close frees and wipes the private key. What is signed with it from then on is an error.
func (k *Key) Close() {
	if k.rsa != nil {
		k.rsa.Close()
	}
}
