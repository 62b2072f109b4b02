package logstore

import (
	"bytes"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// writtenBlocks returns a segment that holds every kind of record.
func writtenBlocks(t testing.TB) []byte {
	fs := vfs.NewMem()
	s := open(t, fs)
	g := s.Group(7)
	store(t, g, 1, 4, 2)
	at, _ := g.Locate(3)
	moving := []Moving{{Index: 3, Old: at, Live: func(int) bool { return true }, Keep: 1}}
	g.Compactable(2)
	for _, err := range []error{g.Set([]byte("k"), []byte("v")), g.DeleteRange(1, 2),
		g.DeleteRange(4, 4), g.Move(moving)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	closeStore(t, s)
	b, err := fs.UnsafeGetFileDataBuffer("log/" + segmentName(1))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// FuzzBlock: the decoder describes a block that it accepts within its bounds, and parts are what
// their checksums say.
func FuzzBlock(f *testing.F) {
	segment := writtenBlocks(f)
	for off := 0; off < len(segment); {
		h, err := parseHeader(segment[off:], int64(len(segment)-off))
		if err != nil {
			break
		}
		f.Add(segment[off : off+h.size()])
		off += h.size()
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, p []byte) {
		h, err := parseHeader(p, int64(len(p)))
		if err != nil {
			return
		}
		records, err := h.verify(p)
		if err != nil {
			return
		}
		meta := 0
		for i := range records {
			r := &records[i]
			meta += r.size
			for j, part := range r.parts {
				if n, crc := r.part(j); n != len(part) || checksum(part) != crc {
					t.Errorf("record %d part %d", i, j)
				}
			}
		}
		if meta != int(h.metaLen) {
			t.Errorf("records of %d octets in %d", meta, h.metaLen)
		}
	})
}

// Records get past the block's checksum only by chance; here they are fuzzed behind it.
func FuzzRecord(f *testing.F) {
	segment := writtenBlocks(f)
	for off := 0; off < len(segment); {
		h, err := parseHeader(segment[off:], int64(len(segment)-off))
		if err != nil {
			break
		}
		records, err := h.verify(segment[off:])
		if err != nil {
			f.Fatal(err)
		}
		for _, r := range records {
			f.Add(segment[off+r.pos:off+r.pos+r.size], []byte("payload"), true)
			f.Add(segment[off+r.pos:off+r.pos+r.size], []byte("payload"), false)
		}
		off += h.size()
	}
	f.Fuzz(func(t *testing.T, p, payload []byte, fix bool) {
		p = bytes.Clone(p)
		if fix { // the checksums of an entry, so that the lengths in it are tried
			fixEntry(p)
		}
		r, err := parseRecord(p)
		if err != nil {
			return
		}
		if r.size < recordHead || r.size > len(p) {
			t.Errorf("size %d of %d", r.size, len(p))
		}
		if rest, err := r.takeParts(payload); err == nil && len(rest) > len(payload) {
			t.Error("payload grew")
		}
	})
}

func fixEntry(p []byte) {
	if len(p) < entryHead+4 {
		return
	}
	n := entryHead + partEntry*int64(le.Uint32(p[40:])) + 4
	if n > int64(len(p)) {
		return
	}
	le.PutUint32(p[44:], uint32(len(p)-int(n)))
	le.PutUint32(p[48:], checksum(p[n:]))
	le.PutUint32(p[n-4:], checksum(p[:n-4]))
}

func FuzzParts(f *testing.F) {
	f.Add(JoinParts([][]byte{[]byte("a"), nil, []byte("bcd")}))
	f.Add([]byte{extJoined, 255, 255, 255, 255})
	f.Add([]byte{extLent, 1, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, ext []byte) {
		parts, err := SplitParts(ext)
		if err == nil && len(parts) > 0 && !bytes.Equal(JoinParts(parts), ext) {
			t.Error("does not join to what was split")
		}
	})
}

func FuzzMark(f *testing.F) {
	m := markState{number: 3, block: 9, groups: []markedGroup{{1, 2, 3}, {4, 5, 6}}}
	f.Add(m.encode())
	f.Add((&markState{}).encode())
	f.Fuzz(func(t *testing.T, p []byte) {
		if m, ok := parseMark(p); ok && !bytes.HasPrefix(p, m.encode()) {
			t.Error("does not encode to what was read")
		}
	})
}
