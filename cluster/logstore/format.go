package logstore

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// The file format. A segment is a sequence of blocks, each on a page boundary:
//
//	header   headerSize octets, see header
//	meta     records, one after the other
//	payload  the parts of the block's entry and moved records, in their order
//	         zeros up to the page boundary
//
// All integers are little-endian. The block's checksum covers header and meta, and by the part
// checksums in meta the payload too.
const (
	pageSize      = 4096
	headerSize    = 64
	blockMagic    = 0x53525450 // "PTRS"
	formatVersion = 1
)

var (
	le         = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)

	errBadBlock  = errors.New("block does not verify")
	errBadRecord = errors.New("malformed record")
)

func checksum(p []byte) uint32 { return crc32.Checksum(p, castagnoli) }

// header opens a block.
type header struct {
	segment uint64 // the number in the file's name
	seq     uint64 // blocks are numbered from 1 over all segments
	synced  uint64 // the newest block known to be synced when this one was written
	// random, the same in all blocks of a store: no mail can hold what recovery would take for a
	// block
	salt       uint64
	prev       uint32 // checksum of block seq-1
	metaLen    uint32
	payloadLen uint32
	crc        uint32 // of the header up to here, and meta
}

func pageUp(n int) int { return (n + pageSize - 1) &^ (pageSize - 1) }

// size is the room that the block takes in the file.
func (h *header) size() int { return pageUp(headerSize + int(h.metaLen) + int(h.payloadLen)) }

// seal writes the header in front of the block's meta, checksum included.
func (h *header) seal(block []byte) {
	le.PutUint32(block[0:], blockMagic)
	le.PutUint32(block[4:], formatVersion)
	le.PutUint64(block[8:], h.segment)
	le.PutUint64(block[16:], h.seq)
	le.PutUint64(block[24:], h.synced)
	le.PutUint64(block[32:], h.salt)
	le.PutUint32(block[40:], h.prev)
	le.PutUint32(block[44:], h.metaLen)
	le.PutUint32(block[48:], h.payloadLen)
	le.PutUint64(block[52:], 0) // reserved
	h.crc = h.sum(block)
	le.PutUint32(block[60:], h.crc)
}

// sum is the checksum of a block's header and meta.
func (h *header) sum(block []byte) uint32 {
	return crc32.Update(checksum(block[:headerSize-4]), castagnoli,
		block[headerSize:headerSize+int(h.metaLen)])
}

// parseHeader reads a header without verifying the block. limit is the room left in the file.
func parseHeader(p []byte, limit int64) (h header, err error) {
	if len(p) < headerSize || le.Uint32(p) != blockMagic || le.Uint32(p[4:]) != formatVersion {
		return h, errBadBlock
	}
	h = readHeader(p)
	if headerSize+int64(h.metaLen)+int64(h.payloadLen) > limit {
		return h, errBadBlock
	}
	return h, nil
}

// readHeader reads what would be a header there.
func readHeader(p []byte) header {
	return header{
		segment: le.Uint64(p[8:]), seq: le.Uint64(p[16:]), synced: le.Uint64(p[24:]),
		salt: le.Uint64(p[32:]), prev: le.Uint32(p[40:]),
		metaLen: le.Uint32(p[44:]), payloadLen: le.Uint32(p[48:]), crc: le.Uint32(p[60:]),
	}
}

// verify checks a whole block and returns its records, whose slices alias block.
func (h *header) verify(block []byte) ([]record, error) {
	metaEnd := headerSize + int(h.metaLen)
	if h.sum(block) != h.crc {
		return nil, errBadBlock
	}
	var records []record
	payloadEnd := metaEnd + int(h.payloadLen)
	payload := block[metaEnd:payloadEnd]
	for pos := headerSize; pos < metaEnd; {
		r, err := parseRecord(block[pos:metaEnd])
		if err != nil {
			return nil, err
		}
		r.pos, r.payloadPos = pos, payloadEnd-len(payload)
		if payload, err = r.takeParts(payload); err != nil {
			return nil, err
		}
		records = append(records, r)
		pos += r.size
	}
	if len(payload) != 0 {
		return nil, errBadBlock
	}
	return records, nil
}
