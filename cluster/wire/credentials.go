package wire

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/postroad/postroad/internal/files"
)

// Credentials are what one node shows to the others and judges them by.
type Credentials struct {
	CA        []byte // PEM: the certificate of the cluster's authority
	Cert, Key []byte // PEM: this member's
}

// CAFile is the name of the file with the authority's certificate. It is written once, when the
// node begins its cluster or joins one.
const CAFile = "ca.pem"

const (
	fileCert = "cert.pem"
	fileKey  = "key.pem"
)

// Save writes the credentials to dir, which it makes, durably. The certificate comes last:
// LoadCredentials knows by it that all is there. A certificate for another key goes first, so that
// a crash leaves no pair that does not fit.
func (c Credentials) Save(dir string) error {
	if _, err := c.Identity(); err != nil {
		return err
	}
	if err := c.save(dir); err != nil {
		return fmt.Errorf("save the cluster's credentials: %w", err)
	}
	return nil
}

func (c Credentials) save(dir string) error {
	if err := files.MakeDir(dir); err != nil {
		return err
	}
	if old, err := os.ReadFile(filepath.Join(dir, fileKey)); err != nil ||
		!bytes.Equal(old, c.Key) {
		if err := files.Remove(filepath.Join(dir, fileCert)); err != nil {
			return err
		}
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{fileKey, c.Key}, {CAFile, c.CA}, {fileCert, c.Cert}} {
		if err := files.Replace(filepath.Join(dir, f.name), f.data); err != nil {
			return err
		}
	}
	return nil
}

// LoadCredentials reads what Save wrote. errors.Is(err, fs.ErrNotExist): nothing was ever saved
// there, or not to the end.
func LoadCredentials(dir string) (c Credentials, err error) {
	for _, f := range []struct {
		name string
		data *[]byte
	}{{fileCert, &c.Cert}, {CAFile, &c.CA}, {fileKey, &c.Key}} {
		if *f.data, err = os.ReadFile(filepath.Join(dir, f.name)); err == nil && len(*f.data) > 0 {
			continue
		}
		path := filepath.Join(dir, f.name)
		switch {
		case err == nil:
			return Credentials{}, fmt.Errorf("%s is empty: %s", path, putBack)
		case f.name != fileCert && errors.Is(err, fs.ErrNotExist):
			return Credentials{}, fmt.Errorf("%s is missing beside %s: %s", path, fileCert, putBack)
		}
		return Credentials{}, fmt.Errorf("load the cluster's credentials: %w", err)
	}
	if err := c.damage(dir); err != nil {
		return Credentials{}, fmt.Errorf("%w; %s", err, putBack)
	}
	return c, nil
}

// putBack is what to do about a file that is damaged.
const putBack = "put it back from a backup; without one, empty the data directory, " +
	"join anew under " +
	"another name, and run `postroad cluster replace OLD NEW` with both names"

// damage returns which of the files in dir is damaged, and how.
func (c Credentials) damage(dir string) error {
	_, badCA := parseCert(c.CA)
	_, badCert := parseCert(c.Cert)
	_, badKey := parseKey(c.Key)
	for _, f := range []struct {
		name string
		err  error
	}{{CAFile, badCA}, {fileCert, badCert}, {fileKey, badKey}} {
		if f.err != nil {
			return fmt.Errorf("%s is damaged: %w", filepath.Join(dir, f.name), f.err)
		}
	}
	if _, err := tls.X509KeyPair(c.Cert, c.Key); err != nil {
		return fmt.Errorf("%s or %s in %s is damaged: %w", fileCert, fileKey, dir, err)
	}
	if _, err := c.Identity(); err != nil {
		return fmt.Errorf("%s or %s in %s is damaged: %w", fileCert, CAFile, dir, err)
	}
	return nil
}

// Identity returns whose credentials these are, or why they do not fit together.
func (c Credentials) Identity() (Identity, error) {
	cert, roots, err := c.parse()
	if err != nil {
		return Identity{}, err
	}
	return identify([]*x509.Certificate{cert.Leaf}, roots, x509.ExtKeyUsageClientAuth)
}

func (c Credentials) parse() (tls.Certificate, *x509.CertPool, error) {
	authority, err := parseCert(c.CA)
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("the cluster's certificate: %w", err)
	}
	cert, err := tls.X509KeyPair(c.Cert, c.Key)
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("this member's certificate: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority)
	return cert, roots, nil
}

// identify verifies the certificates that a peer showed and returns whose they are.
func identify(
	certs []*x509.Certificate, roots *x509.CertPool, usage x509.ExtKeyUsage,
) (Identity, error) {
	if len(certs) == 0 {
		return Identity{}, errors.New("the peer shows no certificate")
	}
	if _, err := certs[0].Verify(x509.VerifyOptions{Roots: roots,
		KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
		return Identity{}, foreign(err)
	}
	if len(certs[0].URIs) != 1 {
		return Identity{}, errors.New("the certificate does not name one member")
	}
	return ParseIdentity(certs[0].URIs[0].String())
}

// keyOf names a public key: the SHA-256 of its SubjectPublicKeyInfo (RFC 5280 4.1.2.7) in 64
// hexadecimal digits.
func keyOf(spki []byte) string {
	sum := sha256.Sum256(spki)
	return hex.EncodeToString(sum[:])
}

// PublicKey names this member's key, as Options.Admit gets it of a peer.
func (c Credentials) PublicKey() (string, error) {
	cert, err := parseCert(c.Cert)
	if err != nil {
		return "", err
	}
	return keyOf(cert.RawSubjectPublicKeyInfo), nil
}

// RequestedKey names the key of a certificate request (PEM), as Options.Admit gets it of a peer.
func RequestedKey(csr []byte) (string, error) {
	r, err := parseRequest(csr)
	if err != nil {
		return "", err
	}
	return keyOf(r.RawSubjectPublicKeyInfo), nil
}

// sameKey reports whether a certificate is for the key of a request.
func sameKey(cert *x509.Certificate, csr *x509.CertificateRequest) bool {
	a, ok := cert.PublicKey.(*ecdsa.PublicKey)
	return ok && a.Equal(csr.PublicKey)
}
