package sink

import (
	"crypto/tls"
	"crypto/x509"

	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// certificate makes what a Listen asks for. All but the self-signed ones are of the sink's own
// authority.
func (s *Server) certificate(l *Listen) (*tls.Config, *x509.Certificate, error) {
	host := l.Host
	if host == "" {
		host = defaultHost
	}
	var cert *mailtest.Certificate
	var err error
	switch l.Certificate {
	case "", none:
		return nil, nil, nil
	case "expired":
		cert, err = s.authority.Expired(host)
	case "wrong-name":
		cert, err = s.authority.Issue("another." + host)
	case "self-signed":
		cert, err = mailtest.SelfSigned(host)
	default:
		cert, err = s.authority.Issue(host)
	}
	if err != nil {
		return nil, nil, err
	}
	conf, err := cert.Server()
	if err != nil {
		return nil, nil, err
	}
	leaf, err := x509.ParseCertificate(conf.Certificates[0].Certificate[0])
	return conf, leaf, err
}

const defaultHost = "sink.example"
