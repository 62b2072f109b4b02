package mail

import "bytes"

// deliveredTo begins the header line of whoever delivers a message, or forwards it, by which a loop
// is found (RFC 9228).
var deliveredTo = []byte("Delivered-To:")

// DeliveredTo finds the first Delivered-To line of a header, which head is or begins. It returns
// whom the line names and the lines after it, both in head's memory; ok is false when the header,
// or what head has of it, ends without one.
func DeliveredTo(head []byte) (to, rest []byte, ok bool) {
	for len(head) > 0 {
		line := head
		if i := bytes.IndexByte(head, '\n'); i >= 0 {
			line, head = head[:i], head[i+1:]
		} else {
			head = nil
		}
		if len(line) <= 1 {
			break // the header ends
		}
		if (line[0] == 'D' || line[0] == 'd') && len(line) > len(deliveredTo) && bytes.EqualFold(line[:len(deliveredTo)], deliveredTo) {
			return bytes.TrimSpace(line[len(deliveredTo):]), head, true
		}
	}
	return nil, nil, false
}
