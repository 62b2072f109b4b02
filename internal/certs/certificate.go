// Package certs holds the TLS certificate that listeners show.
package certs

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"os"
	"sync/atomic"
	"time"
)

// Certificate is what listeners show. Its files are read again when they change; a pair that does
// not fit changes nothing and is reported. Safe for use by several goroutines.
type Certificate struct {
	certFile, keyFile string
	current           atomic.Pointer[tls.Config]
	seen              [2]time.Time // modification times; watch's goroutine
}

// certificateEvery is how often the files are looked at.
const certificateEvery = 10 * time.Second

// NewCertificate loads the pair, or makes a self-signed certificate for host when no files are
// named: other servers take it for opportunistic TLS (RFC 7435).
func NewCertificate(certFile, keyFile, host string) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile}
	if certFile == "" {
		pair, err := selfSigned(host)
		if err != nil {
			return nil, fmt.Errorf("making a self-signed certificate: %w", err)
		}
		c.current.Store(serverTLS(pair))
		return c, nil
	}
	c.seen = c.modified()
	return c, c.load()
}

// Config returns the present configuration.
func (c *Certificate) Config() *tls.Config { return c.current.Load() }

func (c *Certificate) load() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("TLS certificate: %w", err)
	}
	c.current.Store(serverTLS(pair))
	return nil
}

func serverTLS(pair tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
}

func (c *Certificate) modified() (at [2]time.Time) {
	for i, name := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(name); err == nil {
			at[i] = info.ModTime()
		}
	}
	return at
}

// Watch loads the files again when they change, until ctx ends.
func (c *Certificate) Watch(ctx context.Context, errorf func(string, ...any)) {
	if c.certFile == "" {
		return
	}
	tick := time.NewTicker(certificateEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if now := c.modified(); now != c.seen {
			c.seen = now
			if err := c.load(); err != nil {
				errorf("%v; the former certificate stays in use", err)
			}
		}
	}
}

func selfSigned(host string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
