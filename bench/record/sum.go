package record

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/cespare/xxhash/v2"
)

// Sum is the XXH64 of a content from the Marker on. It finds what a mail server may have done to a
// message, not what somebody would forge; a stronger hash of 1 MiB costs more than sending it. The
// zero Sum says that nothing was hashed; such a content is not compared.
type Sum [8]byte

// MarshalText writes hexadecimal digits.
func (s Sum) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, s[:]), nil }

// SumOf returns the Sum of content.
func SumOf(content []byte) Sum { return toSum(xxhash.Sum64(content)) }

// Hash makes the Sum of a content that comes in pieces. It begins with Reset.
type Hash struct{ d xxhash.Digest }

// Reset begins another content.
func (h *Hash) Reset() { h.d.Reset() }

// Write takes a piece.
func (h *Hash) Write(p []byte) { h.d.Write(p) }

// Sum returns the Sum of the pieces since Reset.
func (h *Hash) Sum() Sum { return toSum(h.d.Sum64()) }

func toSum(v uint64) (s Sum) {
	binary.BigEndian.PutUint64(s[:], v)
	return s
}
