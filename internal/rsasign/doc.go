// Package rsasign signs with RSA private keys: PKCS #1 v1.5 with SHA-256 (RFC 8017 8.2), which is
// what DKIM asks for (RFC 6376 3.3.1). No cryptography is its own. There are two implementations of
// one interface:
//
//   - crypto/rsa of Go, the default. The program stays one static file.
//   - libcrypto of OpenSSL 3 or later by cgo, under the build tag libcrypto. An RSA-2048 signature
//     takes a third to a half of the time there.
//
// Both give the same octets for the same key and digest. Implementation says which one is in.
//
// A signature takes about a millisecond of a processor, so an event loop never makes one.
package rsasign
