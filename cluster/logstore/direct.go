package logstore

import (
	"unsafe"
)

// Blocks are written past the page cache where the system can (O_DIRECT): they are whole pages
// anyway and the ring holds the newest, so the cache would only cost a copy and memory. With it,
// Linux also counts (write_bytes) and at times writes whole large folios of a recycled file for
// each small block. Readers use the page cache, through a handle of their own.

// alignedBuffer returns n zero octets that begin on a page.
func alignedBuffer(n int) []byte {
	b := make([]byte, n+pageSize)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (pageSize - 1)
	return b[skip : skip+n : skip+n]
}
