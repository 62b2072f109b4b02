// Package certs holds the TLS certificates that listeners show.
package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/internal/files"
)

// Pair names the files of a certificate and its key. The zero Pair is a certificate that is made.
type Pair struct {
	Certificate, Key string
	// Names are for whom it is shown, as A-labels in lower case; "*.example.net" is every name with
	// one label more. nil: those in the certificate.
	Names []string
}

// Files are a node's certificates. Default is shown to clients that name no other (RFC 6066 3).
type Files struct {
	Default Pair
	More    []Pair
}

// Certificates is what listeners show. The files are read again when they change; a pair that does
// not fit stays as it was and is reported. Safe for use by several goroutines.
type Certificates struct {
	host    string
	current atomic.Pointer[shown]
	mu      struct {
		sync.Mutex
		pairs []*loaded // as they were last read
	}
}

// every is how often the files are looked at.
const every = 10 * time.Second

// New loads the pairs. When Default names no files it makes a self-signed certificate for host:
// other servers take it for opportunistic TLS (RFC 7435).
func New(f Files, host string) (*Certificates, error) {
	c := &Certificates{host: host}
	show, err := c.Prepare(f)
	if err != nil {
		return nil, err
	}
	show()
	return c, nil
}

// Prepare reads pairs, be they others, or makes a self-signed certificate when Default names no
// files and none is shown now. What it returns shows them from then on.
func (c *Certificates) Prepare(f Files) (show func(), err error) {
	var pairs []*loaded
	for _, p := range slices.Concat(f.More, []Pair{f.Default}) {
		l, err := c.load(p)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, l)
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.takeLocked(pairs)
	}, nil
}

// takeLocked shows pairs. Sessions are resumed for as long as they stay the same.
func (c *Certificates) takeLocked(pairs []*loaded) {
	c.mu.pairs = pairs
	if old := c.current.Load(); old == nil || !old.same(pairs) {
		c.current.Store(newShown(pairs))
	}
}

// Config returns the present configuration.
func (c *Certificates) Config() *tls.Config { return c.ConfigFor(Allow{}) }

// ConfigFor returns the present configuration for a listener that allows other than most.
func (c *Certificates) ConfigFor(a Allow) *tls.Config { return c.current.Load().config(a) }

// Expiries returns when each certificate that is shown expires, by the first of its names.
func (c *Certificates) Expiries() map[string]time.Time {
	all := map[string]time.Time{}
	for _, l := range c.current.Load().pairs {
		leaf, err := x509.ParseCertificate(l.cert.Certificate[0])
		if err != nil {
			continue // it would not have been loaded
		}
		name := leaf.Subject.CommonName
		if len(leaf.DNSNames) > 0 {
			name = leaf.DNSNames[0]
		}
		if at, ok := all[name]; !ok || leaf.NotAfter.Before(at) {
			all[name] = leaf.NotAfter
		}
	}
	return all
}

// loaded is a pair that was read.
type loaded struct {
	Pair
	cert *tls.Certificate
	seen [2]time.Time // modification times
}

// load reads a pair.
func (c *Certificates) load(p Pair) (*loaded, error) {
	l := &loaded{Pair: p, seen: p.modified()}
	if p.made() {
		if old := c.current.Load(); old != nil && old.last().made() {
			return old.last(), nil
		}
		made, err := selfSigned(c.host)
		if err != nil {
			return nil, fmt.Errorf("making a self-signed certificate: %w", err)
		}
		l.cert = &made
		return l, nil
	}
	if err := files.Private(p.Key); err != nil {
		return nil, fmt.Errorf("TLS key: %w", err)
	}
	cert, err := tls.LoadX509KeyPair(p.Certificate, p.Key)
	if err != nil {
		return nil, fmt.Errorf("TLS certificate %s: %w", p.Certificate, err)
	}
	l.cert = &cert
	return l, nil
}

func (p *Pair) made() bool { return p.Certificate == "" }

func (p *Pair) modified() (at [2]time.Time) {
	for i, name := range []string{p.Certificate, p.Key} {
		if info, err := os.Stat(name); err == nil {
			at[i] = info.ModTime()
		}
	}
	return at
}

// Watch loads the files again when they change, until ctx ends.
func (c *Certificates) Watch(ctx context.Context, errorf func(string, ...any)) {
	tick := time.NewTicker(every)
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

// look loads the pairs whose files have changed.
func (c *Certificates) look() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	pairs := slices.Clone(c.mu.pairs)
	for i, l := range pairs {
		if l.made() || l.modified() == l.seen {
			continue
		}
		again, err := c.load(l.Pair)
		if err != nil {
			errs = append(errs, err) // once: it is tried when they change again
			again = &loaded{l.Pair, l.cert, l.modified()}
		}
		pairs[i] = again
	}
	c.takeLocked(pairs)
	return errors.Join(errs...)
}
