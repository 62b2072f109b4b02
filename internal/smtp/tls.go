package smtp

import "crypto/tls"

// DescribeTLS names the protocol version and the cipher of a connection as Postfix does, with one
// space between them: "TLSv1.3 TLS_AES_128_GCM_SHA256".
func DescribeTLS(s tls.ConnectionState) string {
	version := "TLSv1.3"
	switch s.Version {
	case tls.VersionTLS12:
		version = "TLSv1.2"
	case tls.VersionTLS11:
		version = "TLSv1.1"
	case tls.VersionTLS10:
		version = "TLSv1"
	}
	return version + " " + tls.CipherSuiteName(s.CipherSuite)
}
