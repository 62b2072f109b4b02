// Package dkim signs mail (RFC 6376, and RFC 8463 for Ed25519) and reads and writes the keys for it
// and their DNS records.
//
// A BodyHash takes the body while it arrives. When it has ended, Sign makes one DKIM-Signature
// field for each Signature from that hash and the header. The fields go in front of the message,
// which nothing may change from then on.
//
// BodyHash is quick enough for an event loop. Sign is not: an RSA signature takes about a
// millisecond.
//
// A signature is right or it is not made: mail whose header or line ends different readers take
// differently is refused with an error.
package dkim
