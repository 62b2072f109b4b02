package logstore

import (
	"time"

	"github.com/hashicorp/raft"
)

// kind tells the records apart. Numbers are part of the format.
type kind uint8

const (
	kindEntry kind = 1 // a log entry with its parts
	// parts of an entry whose old place is given up; parts nobody refers to are left out (length 0)
	kindMoved  kind = 2
	kindStable kind = 3 // a value of a group's stable store
	kindWindow kind = 4 // in a segment's opening: a group's log is [first, last]
	kindStart  kind = 5 // first in a segment: recovery begins at the segment named
	kindHead   kind = 6 // entries before first were compacted
	kindTail   kind = 7 // entries after last were taken back
)

// Every record begins with its size (4 octets), its kind (1), a raft log type (1), 2 reserved
// octets and its group (8).
//
//	entry, moved: index 8, term 8, appended at 8, number of parts 4, length of data 4, checksum of data 4, reserved 4,
//	              per part length 4 and checksum 4, checksum of all this 4, data
//	stable:       length of key 2, key, value
//	window:       first 8, last 8, term of last 8
//	start:        segment 8
//	head, tail:   first or last 8
const (
	recordHead = 16
	entryHead  = recordHead + 40
	partEntry  = 8
)

// record is a record as read. What does not belong to its kind is zero.
type record struct {
	kind  kind
	group uint64
	size  int // with everything, parts excluded

	index, term uint64
	logType     raft.LogType
	appendedAt  int64
	data        []byte
	table       []byte // partEntry octets for each part
	parts       [][]byte

	key, value  []byte
	first, last uint64
	number      uint64 // of start, head and tail

	pos, payloadPos int // in the block
}

func tableLen(parts int) int { return entryHead + partEntry*parts + 4 }

func entrySize(parts, data int) int { return tableLen(parts) + data }

// appendHead appends what all records begin with; size is filled in by whoever knows it.
func appendHead(b []byte, k kind, t raft.LogType, group uint64, size int) []byte {
	b = le.AppendUint32(b, uint32(size))
	b = append(b, byte(k), byte(t), 0, 0)
	return le.AppendUint64(b, group)
}

// unixNano and fromUnixNano keep the zero time, which raft's own bootstrap entry has.
func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromUnixNano(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}

// putEntry writes an entry or moved record at the start of meta and its parts at the start of
// payload, and returns how many octets of each it took.
func putEntry(
	meta, payload []byte, k kind, group uint64, log *raft.Log, parts [][]byte,
) (m, p int) {
	size := entrySize(len(parts), len(log.Data))
	b := appendHead(meta[:0], k, log.Type, group, size)
	b = le.AppendUint64(b, log.Index)
	b = le.AppendUint64(b, log.Term)
	b = le.AppendUint64(b, uint64(unixNano(log.AppendedAt)))
	b = le.AppendUint32(b, uint32(len(parts)))
	b = le.AppendUint32(b, uint32(len(log.Data)))
	b = le.AppendUint32(b, checksum(log.Data))
	b = le.AppendUint32(b, 0)
	for _, part := range parts {
		n := copy(payload[p:], part)
		b = le.AppendUint32(b, uint32(n))
		b = le.AppendUint32(b, checksum(payload[p:p+n]))
		p += n
	}
	b = le.AppendUint32(b, checksum(b))
	b = append(b, log.Data...)
	return len(b), p
}

// parseRecord reads the record at the start of p. Parts are taken from the payload by takeParts.
func parseRecord(p []byte) (r record, err error) {
	if len(p) < recordHead {
		return r, errBadRecord
	}
	r.size = int(le.Uint32(p))
	if r.size < recordHead || r.size > len(p) {
		return r, errBadRecord
	}
	r.kind, r.logType, r.group = kind(p[4]), raft.LogType(p[5]), le.Uint64(p[8:])
	body := p[recordHead:r.size]
	switch r.kind {
	case kindEntry, kindMoved:
		return r, r.parseEntry(p[:r.size])
	case kindStable:
		if len(body) < 2 || 2+int(le.Uint16(body)) > len(body) {
			return r, errBadRecord
		}
		n := 2 + int(le.Uint16(body))
		r.key, r.value = body[2:n], body[n:]
	case kindWindow:
		if len(body) != 24 {
			return r, errBadRecord
		}
		r.first, r.last, r.term = le.Uint64(body), le.Uint64(body[8:]), le.Uint64(body[16:])
	case kindStart, kindHead, kindTail:
		if len(body) != 8 {
			return r, errBadRecord
		}
		r.number = le.Uint64(body)
	default:
		return r, errBadRecord
	}
	return r, nil
}

func (r *record) parseEntry(p []byte) error {
	n, err := r.parseTable(p)
	if err != nil {
		return err
	}
	r.data = p[n:]
	if len(r.data) != int(le.Uint32(p[44:])) || checksum(r.data) != le.Uint32(p[48:]) {
		return errBadRecord
	}
	return nil
}

// parseTable reads an entry record up to its data, which p need not hold.
func (r *record) parseTable(p []byte) (n int, err error) {
	if len(p) < entryHead+4 || (kind(p[4]) != kindEntry && kind(p[4]) != kindMoved) {
		return 0, errBadRecord
	}
	count := int64(le.Uint32(p[40:]))
	if entryHead+partEntry*count+4 > int64(len(p)) {
		return 0, errBadRecord
	}
	n = tableLen(int(count))
	if checksum(p[:n-4]) != le.Uint32(p[n-4:]) {
		return 0, errBadRecord
	}
	r.kind, r.logType, r.group, r.size = kind(p[4]), raft.LogType(p[5]), le.Uint64(p[8:]),
		int(le.Uint32(p))
	r.index, r.term, r.appendedAt = le.Uint64(p[16:]), le.Uint64(p[24:]), int64(le.Uint64(p[32:]))
	r.table = p[entryHead : n-4]
	return n, nil
}

// count is the number of parts.
func (r *record) count() int { return len(r.table) / partEntry }

// part returns part i's length and checksum.
func (r *record) part(i int) (length int, crc uint32) {
	e := r.table[i*partEntry:]
	return int(le.Uint32(e)), le.Uint32(e[4:])
}

// takeParts cuts the record's parts off payload, verifying each.
func (r *record) takeParts(payload []byte) (rest []byte, err error) {
	if r.count() == 0 {
		return payload, nil
	}
	r.parts = make([][]byte, r.count())
	for i := range r.parts {
		n, crc := r.part(i)
		if n > len(payload) || checksum(payload[:n]) != crc {
			return nil, errBadRecord
		}
		r.parts[i], payload = payload[:n:n], payload[n:]
	}
	return payload, nil
}
