// Package mail is the test kit: what stands around a mail server under test, on loopback. It is
// used by the end-to-end tests, by the long-run checkers and by `postroad demo`.
//
//   - DNS answers from a zone in memory, well or badly, as told.
//   - Sink is a receiving SMTP server that records what it took, by hash of the octets received,
//     and misbehaves as told.
//   - Generator makes varied messages from a seed; Send sends them and records what was
//     acknowledged.
//   - Compare tells what was acknowledged and not delivered, changed, or delivered twice.
//   - NewCertificate makes a certificate and the authority that signed it.
//
// The kit shares no SMTP code with the server: a fault in a parser must not hide itself by being on
// both sides.
//
// A message carries its identity in its first header field, X-Test-ID. Relays put trace fields on
// top; hashes are taken from X-Test-ID on, so that what is compared is the message below the trace
// header, octet for octet.
package mail

import "github.com/postroad/postroad/bench/record"

// Marker is the header field that carries a test message's identity and is the first of the
// message.
const Marker = record.Marker
