package certs

import (
	"bytes"
	"crypto/tls"
	"slices"
	"strings"
	"sync"
)

// Allow is what a listener allows besides what is safe: for devices that cannot do better. The zero
// Allow is TLS 1.2 and newer, with keys that are agreed on for each connection.
type Allow struct {
	Min uint16 // the oldest version, such as tls.VersionTLS10; 0: TLS 1.2
	// RSA allows the certificate's own key to be used for the exchange of keys, in TLS 1.2 and
	// older: who gets hold of it reads what was recorded before.
	RSA bool
}

// shown is some certificates that are shown, and the configurations that show them.
type shown struct {
	pairs   []*loaded // the default is the last
	byName  map[string][]*tls.Certificate
	configs sync.Map // Allow -> *tls.Config; there are few
}

func newShown(pairs []*loaded) *shown {
	s := &shown{pairs: pairs, byName: map[string][]*tls.Certificate{}}
	for _, l := range pairs {
		for _, name := range l.names() {
			s.byName[name] = append(s.byName[name], l.cert)
		}
	}
	return s
}

// last returns the default.
func (s *shown) last() *loaded { return s.pairs[len(s.pairs)-1] }

// same reports whether pairs are the certificates that are shown, for the same names.
func (s *shown) same(pairs []*loaded) bool {
	return slices.EqualFunc(s.pairs, pairs, func(a, b *loaded) bool {
		return slices.Equal(a.Names, b.Names) &&
			slices.EqualFunc(a.cert.Certificate, b.cert.Certificate, bytes.Equal)
	})
}

// names are those for which a certificate is shown.
func (l *loaded) names() (names []string) {
	if l.Names != nil || l.cert.Leaf == nil {
		return l.Names
	}
	for _, name := range l.cert.Leaf.DNSNames {
		names = append(names, strings.ToLower(name))
	}
	return names
}

// config returns the configuration of listeners that allow so much.
func (s *shown) config(a Allow) *tls.Config {
	if c, ok := s.configs.Load(a); ok {
		return c.(*tls.Config)
	}
	c := &tls.Config{
		Certificates:   []tls.Certificate{*s.last().cert},
		GetCertificate: s.choose,
		MinVersion:     max(a.Min, tls.VersionTLS10),
	}
	if a.Min == 0 {
		c.MinVersion = tls.VersionTLS12
	}
	if a.RSA {
		c.CipherSuites = withRSA()
	}
	kept, _ := s.configs.LoadOrStore(a, c)
	return kept.(*tls.Config)
}

// choose returns the certificate of the name that a client says (RFC 6066 3): of that name, then of
// a pattern that has it, then the default. Of several with the same name it is the first that the
// client can use, so that there may be one with an RSA key beside one with another.
func (s *shown) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.TrimSuffix(strings.ToLower(hello.ServerName), ".")
	_, parent, _ := strings.Cut(name, ".")
	for _, of := range []string{name, "*." + parent} {
		all := s.byName[of]
		for _, cert := range all {
			if hello.SupportsCertificate(cert) == nil {
				return cert, nil
			}
		}
		if len(all) > 0 {
			return all[0], nil // whatever is missing, the handshake says it
		}
	}
	return nil, nil // the default
}

// withRSA are Go's own suites and those with RSA key exchange and AES.
func withRSA() (ids []uint16) {
	for _, suite := range tls.CipherSuites() {
		ids = append(ids, suite.ID)
	}
	for _, suite := range tls.InsecureCipherSuites() {
		if strings.HasPrefix(suite.Name, "TLS_RSA_WITH_AES_") {
			ids = append(ids, suite.ID)
		}
	}
	return ids
}
