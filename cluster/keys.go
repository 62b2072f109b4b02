package cluster

import "encoding/binary"

// Keys in the node's Pebble: the group's number (4 octets, big-endian), what it is, and the rest.
//
//	's' key    the state machine's own rows
//	'p' index  the parts of an entry that the state refers to (8 octets, big-endian; parts.go)
//	'a'        index and term of the newest applied entry
const (
	spaceState   = 's'
	spaceParts   = 'p'
	spaceApplied = 'a'

	prefixLen = 5
)

func prefix(group uint64, space byte) [prefixLen]byte {
	var p [prefixLen]byte
	binary.BigEndian.PutUint32(p[:], uint32(group))
	p[4] = space
	return p
}

func appendPartsKey(b []byte, group, index uint64) []byte {
	p := prefix(group, spaceParts)
	return binary.BigEndian.AppendUint64(append(b, p[:]...), index)
}

// prefixEnd is the first key after all keys with the prefix.
func prefixEnd(p [prefixLen]byte) []byte {
	p[4]++
	return p[:]
}
