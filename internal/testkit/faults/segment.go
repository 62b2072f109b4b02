package faults

import (
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// The log's files are written again when their entries are not needed any more, so their last
// octets may be of long ago. What was written last is the newest block with the file's own number.

const (
	segmentExt  = ".seg"
	segmentPage = 4096
	blockMagic  = 0x53525450 // "PTRS"
	blockHeader = 64
)

// lastBlock returns where the newest block of a file of the log begins and ends; 0 and 0: it is no
// file of the log, or has no block.
func lastBlock(name string) (from, end int64, err error) {
	number, isNumber := strings.CutSuffix(filepath.Base(name), segmentExt)
	id, perr := strconv.ParseUint(number, 10, 64)
	if !isNumber || perr != nil {
		return 0, 0, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	newest := uint64(0)
	for off := int64(0); ; {
		var b [blockHeader]byte
		if _, err := f.ReadAt(b[:], off); err == io.EOF {
			return from, end, nil
		} else if err != nil {
			return 0, 0, err
		}
		le := binary.LittleEndian
		if le.Uint32(b[:]) != blockMagic || le.Uint64(b[8:]) != id {
			off += segmentPage
			continue
		}
		size := blockHeader + int64(le.Uint32(b[44:])) + int64(le.Uint32(b[48:]))
		if seq := le.Uint64(b[16:]); seq > newest {
			newest, from, end = seq, off, off+size
		}
		off += (size + segmentPage - 1) / segmentPage * segmentPage
	}
}
