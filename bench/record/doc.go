// Package record is what a load generator and a receiving server write down of each message, and
// the comparison of the two: what was lost, changed, duplicated or put out of order.
//
//   - SentLog and ReceivedLog hold entries, encoded, about 100 octets each: a million messages are
//     some 100 MB. What a log holds in memory is also its file form (file.go).
//   - Check compares a SentLog with a ReceivedLog.
//
// A message is known by its ID, the value of the header field X-Test-ID, which is the first field
// below the trace header. Its content is compared by the hash of the octets from that field on.
// Messages of foreign tools have no ID: they are only counted.
package record

// Marker is the header field that carries a message's ID and is the first of the message as it is
// sent.
const Marker = "X-Test-ID"
