// Package smtp holds the words and the grammar of SMTP (RFC 5321, RFC 6531 and the extensions
// offered) that server and client share: commands, paths, parameters, replies, mail data. It does
// no I/O and has no clock.
//
// Invariants:
//   - What a parser returns holds no NUL, no control octet and no malformed UTF-8, so that it may
//     go into a header, a log line or a reply as it is.
//   - A parser looks at each octet a bounded number of times, and allocates only what it returns.
//   - Only CRLF.CRLF ends mail data; every other spelling is a violation that the caller hears of.
package smtp
