package wire

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"time"
)

const (
	authorityYears = 20
	memberYears    = 10
	// backdate lets a certificate be valid at once on a node whose clock is behind.
	backdate = 24 * time.Hour

	blockCert    = "CERTIFICATE"
	blockKey     = "PRIVATE KEY"
	blockRequest = "CERTIFICATE REQUEST"
)

// NewAuthority makes the certificate authority of a new cluster: an ECDSA P-256 key and a
// certificate for 20 years, both PEM.
func NewAuthority(cluster string) (cert, key []byte, err error) {
	if err := checkCluster(cluster); err != nil {
		return nil, nil, err
	}
	private, key, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	t := template("postroad cluster "+cluster, authorityYears)
	t.IsCA, t.BasicConstraintsValid, t.MaxPathLenZero = true, true, true
	t.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, t, t, private.Public(), private)
	if err != nil {
		return nil, nil, fmt.Errorf("make the cluster's certificate: %w", err)
	}
	return encode(blockCert, der), key, nil
}

// NewRequest makes a node's key and a request for its certificate, both PEM. The key stays on the
// node.
func NewRequest() (csr, key []byte, err error) {
	private, key, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, private)
	if err != nil {
		return nil, nil, fmt.Errorf("make a certificate request: %w", err)
	}
	return encode(blockRequest, der), key, nil
}

// Sign makes the certificate of a member (PEM, 10 years, for both ends of a connection). Of the
// request only the key counts.
func Sign(caCert, caKey, csr []byte, id Identity) (cert []byte, err error) {
	if err := id.check(); err != nil {
		return nil, err
	}
	authority, err := parseCert(caCert)
	if err != nil {
		return nil, fmt.Errorf("the cluster's certificate: %w", err)
	}
	signer, err := parseKey(caKey)
	if err != nil {
		return nil, fmt.Errorf("the cluster's key: %w", err)
	}
	request, err := parseRequest(csr)
	if err != nil {
		return nil, err
	}
	uri, err := url.Parse(id.String())
	if err != nil {
		return nil, err
	}
	t := template(fmt.Sprintf("member %d of %s", id.Member, id.Cluster), memberYears)
	t.URIs = []*url.URL{uri}
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	der, err := x509.CreateCertificate(rand.Reader, t, authority, request.PublicKey, signer)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of member %d: %w", id.Member, err)
	}
	return encode(blockCert, der), nil
}

// template has what all certificates share. x509 chooses a random serial number.
func template(name string, years int) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-backdate),
		NotAfter: now.AddDate(years, 0, 0)}
}

func newKey() (*ecdsa.PrivateKey, []byte, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	return private, encode(blockKey, der), nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// decode returns the one PEM block that b is.
func decode(kind string, b []byte) ([]byte, error) {
	block, rest := pem.Decode(b)
	if block == nil || block.Type != kind || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("not a PEM file with one %s", kind)
	}
	return block.Bytes, nil
}

func parseCert(b []byte) (*x509.Certificate, error) {
	der, err := decode(blockCert, b)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func parseKey(b []byte) (*ecdsa.PrivateKey, error) {
	der, err := decode(blockKey, b)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	private, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("not an ECDSA key")
	}
	return private, nil
}

// parseRequest takes only requests with an ECDSA P-256 key whose holder signed them.
func parseRequest(b []byte) (*x509.CertificateRequest, error) {
	der, err := decode(blockRequest, b)
	if err != nil {
		return nil, err
	}
	r, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	if key, ok := r.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("certificate request: an ECDSA P-256 key is wanted")
	}
	if err := r.CheckSignature(); err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	return r, nil
}
