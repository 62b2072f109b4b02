package state

import "encoding/binary"

// Keys in the node's Pebble: the group's number (4 octets, big-endian), what it is, and the rest.
//
//	's' key    the state machine's own rows
//	'p' index  the parts of an entry that the state refers to (8 octets, big-endian; part_refs.go)
//	'a'        index and term of the newest applied entry, and the side on which the state is
//
// A state that is taken over from another member is written aside, under 'S' and 'P', and one row
// switches to it (sides.go). The next one goes to 's' and 'p' again.
const (
	spaceState   = 's'
	spaceParts   = 'p'
	spaceApplied = 'a'

	prefixLen = 5
)

// side is which of its two places a group's state is in.
type side byte

func (s side) space(space byte) byte { return space - byte(s)*('a'-'A') }

func (s side) other() side { return 1 - s }

func prefix(group uint64, space byte) [prefixLen]byte {
	var p [prefixLen]byte
	binary.BigEndian.PutUint32(p[:], uint32(group))
	p[4] = space
	return p
}

func appendPartsKey(b []byte, group uint64, s side, index uint64) []byte {
	p := prefix(group, s.space(spaceParts))
	return binary.BigEndian.AppendUint64(append(b, p[:]...), index)
}

// prefixEnd is the first key after all keys with the prefix.
func prefixEnd(p [prefixLen]byte) []byte {
	p[4]++
	return p[:]
}
