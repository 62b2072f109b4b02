package mail

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// Certificate is a server certificate with the authority that signed it, all in PEM.
type Certificate struct {
	CA, Cert, Key []byte
}

// Authority signs certificates. Its methods may be called on any goroutine.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	der  []byte
}

// NewCertificate makes an authority and a certificate of it for the given host names and IP
// addresses, valid for a day.
func NewCertificate(names ...string) (*Certificate, error) {
	a, err := NewAuthority()
	if err != nil {
		return nil, err
	}
	return a.Issue(names...)
}

// NewAuthority makes an authority.
func NewAuthority() (a *Authority, err error) {
	a = &Authority{cert: template("mailtest authority")}
	a.cert.IsCA, a.cert.BasicConstraintsValid, a.cert.KeyUsage = true, true, x509.KeyUsageCertSign
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, fmt.Errorf("making the authority's key: %w", err)
	}
	if a.der, err = x509.CreateCertificate(rand.Reader, a.cert, a.cert, a.key.Public(),
		a.key); err != nil {
		return nil, fmt.Errorf("signing the authority: %w", err)
	}
	return a, nil
}

// PEM returns the authority's own certificate.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.der})
}

// Issue makes a certificate for the given host names and IP addresses, valid for a day.
func (a *Authority) Issue(names ...string) (*Certificate, error) { return a.sign(leafFor(names)) }

// Expired makes one whose time has passed.
func (a *Authority) Expired(names ...string) (*Certificate, error) {
	leaf := leafFor(names)
	leaf.NotBefore, leaf.NotAfter = leaf.NotBefore.Add(-48*time.Hour),
		leaf.NotBefore.Add(-24*time.Hour)
	return a.sign(leaf)
}

// SelfSigned makes a certificate that no authority has signed.
func SelfSigned(names ...string) (*Certificate, error) {
	return (*Authority)(nil).sign(leafFor(names))
}

func leafFor(names []string) *x509.Certificate {
	leaf := template("mailtest server")
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, n)
		}
	}
	return leaf
}

// sign makes the key and the certificate. Without an authority the certificate signs itself.
func (a *Authority) sign(leaf *x509.Certificate) (*Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the server's key: %w", err)
	}
	by := a
	if a == nil {
		by = &Authority{cert: leaf, key: key}
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, by.cert, key.Public(), by.key)
	if err != nil {
		return nil, fmt.Errorf("signing the certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding the key: %w", err)
	}
	if a == nil {
		by.der = leafDER
	}
	return &Certificate{
		CA:   by.PEM(),
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leafDER}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}, nil
}

// serials are the numbers of certificates: no two of an authority have the same.
var serials atomic.Int64

func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serials.Add(1)),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
}

// Server returns a configuration for the side that has the certificate.
func (c *Certificate) Server() (*tls.Config, error) {
	pair, err := tls.X509KeyPair(c.Cert, c.Key)
	if err != nil {
		return nil, fmt.Errorf("loading the certificate: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}}, nil
}

// Client returns a configuration that trusts the authority, for a server called name.
func (c *Certificate) Client(name string) *tls.Config {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(c.CA)
	return &tls.Config{RootCAs: pool, ServerName: name}
}

// Write writes tls.crt, tls.key and ca.crt into dir.
func (c *Certificate) Write(dir string) error {
	for name, data := range map[string][]byte{"tls.crt": c.Cert, "tls.key": c.Key, "ca.crt": c.CA} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return fmt.Errorf("writing the certificate: %w", err)
		}
	}
	return nil
}
