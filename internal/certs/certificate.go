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
	"sync"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/internal/files"
)

// Certificate is what listeners show. Its files are read again when they change; a pair that does
// not fit changes nothing and is reported. Safe for use by several goroutines.
type Certificate struct {
	host    string
	current atomic.Pointer[tls.Config]
	mu      struct {
		sync.Mutex
		pair pair
		seen [2]time.Time // modification times
	}
}

// pair names the files of a certificate and its key; the zero pair is a certificate that is made.
type pair struct{ certificate, key string }

// certificateEvery is how often the files are looked at.
const certificateEvery = 10 * time.Second

// NewCertificate loads the pair, or makes a self-signed certificate for host when no files are
// named: other servers take it for opportunistic TLS (RFC 7435).
func NewCertificate(certFile, keyFile, host string) (*Certificate, error) {
	c := &Certificate{host: host}
	show, err := c.Prepare(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	show()
	return c, nil
}

// Prepare reads a pair, be it another one, or makes a self-signed certificate when no files are
// named and none is shown now. What it returns shows that from then on.
func (c *Certificate) Prepare(certFile, keyFile string) (show func(), err error) {
	p := pair{certFile, keyFile}
	c.mu.Lock()
	made := c.mu.pair == pair{} && c.current.Load() != nil
	c.mu.Unlock()
	if made && p == (pair{}) {
		return func() {}, nil
	}
	seen := p.modified()
	config, err := p.load(c.host)
	if err != nil {
		return nil, err
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.mu.pair, c.mu.seen = p, seen
		c.current.Store(config)
	}, nil
}

// Config returns the present configuration.
func (c *Certificate) Config() *tls.Config { return c.current.Load() }

func (p pair) load(host string) (*tls.Config, error) {
	if p == (pair{}) {
		made, err := selfSigned(host)
		if err != nil {
			return nil, fmt.Errorf("making a self-signed certificate: %w", err)
		}
		return serverTLS(made), nil
	}
	if err := files.Private(p.key); err != nil {
		return nil, fmt.Errorf("TLS key: %w", err)
	}
	read, err := tls.LoadX509KeyPair(p.certificate, p.key)
	if err != nil {
		return nil, fmt.Errorf("TLS certificate: %w", err)
	}
	return serverTLS(read), nil
}

func serverTLS(pair tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
}

func (p pair) modified() (at [2]time.Time) {
	for i, name := range []string{p.certificate, p.key} {
		if info, err := os.Stat(name); err == nil {
			at[i] = info.ModTime()
		}
	}
	return at
}

// Watch loads the files again when they change, until ctx ends.
func (c *Certificate) Watch(ctx context.Context, errorf func(string, ...any)) {
	tick := time.NewTicker(certificateEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := c.look(); err != nil {
			errorf("%v; the former certificate stays in use", err)
		}
	}
}

// look loads the files if they have changed.
func (c *Certificate) look() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.mu.pair.modified()
	if c.mu.pair == (pair{}) || now == c.mu.seen {
		return nil
	}
	c.mu.seen = now
	config, err := c.mu.pair.load(c.host)
	if err == nil {
		c.current.Store(config)
	}
	return err
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
