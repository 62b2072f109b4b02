package codec

import (
	"encoding/binary"
	"time"
)

// AppendBytes appends an octet string with its length in front.
func AppendBytes[T ~string | ~[]byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// Bit returns 1 for true.
func Bit(v bool) byte {
	if v {
		return 1
	}
	return 0
}

// ToMillis returns a time in the form that is stored: milliseconds since 1970, 0 being the zero
// time.
func ToMillis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return max(t.UnixMilli(), 0)
}

// FromMillis returns the time that ToMillis was given, to the millisecond.
func FromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
