package message

import "bytes"

const (
	// MaxTrailHead is how much of a message is searched for Delivered-To fields. Whoever adds one
	// adds it in front.
	MaxTrailHead = 64 << 10
	// MaxDelivered is how many Delivered-To fields a message may have. More are a loop, whomever
	// they name.
	MaxDelivered = 50
	// MaxReceived is how many Received fields a message may have unless the operator says
	// otherwise. RFC 5321 6.3 says normally at least 100; hardly any message has ten, and a loop
	// costs less so.
	MaxReceived = 50
)

// Trail is where a message has been by what its header says. Each agent that delivers a message
// into a mailbox, or forwards it for a user, puts a Delivered-To field with the address in front
// (RFC 9228), so a message that names an address is there for the second time. Relays add Received
// fields (RFC 5321 6.3), which the SMTP server counts. The zero value is an empty trail.
type Trail struct{ delivered [][]byte }

// Read replaces the trail by that of a message that begins with head. Its memory is head's.
func (t *Trail) Read(head []byte) {
	t.Clear()
	for f := range Fields(head[:min(len(head), MaxTrailHead)]) {
		if f.Is("Delivered-To") {
			if t.delivered = append(t.delivered,
				bytes.Trim(f.Value(), " \t\r\n<>")); len(t.delivered) > MaxDelivered {
				return
			}
		}
	}
}

// Clear empties the trail and lets go of the message.
func (t *Trail) Clear() {
	clear(t.delivered)
	t.delivered = t.delivered[:0]
}

// Delivered returns the addresses that the message has been delivered to, the last one first, at
// most one more than MaxDelivered.
func (t *Trail) Delivered() [][]byte { return t.delivered }

// Loops reports whether a message for address is in a loop.
func (t *Trail) Loops(address string) bool {
	if len(t.delivered) > MaxDelivered {
		return true
	}
	for _, d := range t.delivered {
		if bytes.EqualFold(d, []byte(address)) {
			return true
		}
	}
	return false
}
