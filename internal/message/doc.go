// Package message reads Internet messages (RFC 5322) and their MIME structure (RFC 2045, RFC 2046).
// It is the only place that knows where a header field begins and ends, so that what one part of
// the program checks is what another one acts on.
//
// Everything works on a message as it streams by, in pieces of any size, and gives the same for any
// pieces. What is malformed is never an error: it is described as far as it can be understood, with
// a note of what is wrong. Memory and time are bounded whatever the input. Lines end with CRLF or
// LF; a CR by itself ends none. An empty line may have any number of CRs, as broken converters
// leave them.
//
//   - Scanner splits a header into tokens; Fields, Find and Split do so for one that is in memory.
//   - ParseValue reads a structured value with parameters, such as that of Content-Type.
//   - Builder makes the Tree of a message's parts: offsets, no copies.
//   - Trail says where a message has been, by which loops are found.
//   - AppendRelaxed, AppendSimple and BodyCanon are the canonical forms of DKIM (RFC 6376 3.4).
package message
