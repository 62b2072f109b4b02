package machine

import (
	"bytes"
	"encoding/binary"

	"github.com/postroad/postroad/internal/mail"
)

// The rows of a group. IDs sort by time of arrival, so messages do; a message's rows are
// neighbours, so that one scan in order meets a message and then what is known of its recipients.
//
//	M                                 meta: counters, newest command time, epoch
//	c ID chunk#                       one chunk of a large message that is not complete yet
//	l session slot                    the last accept command of one proposer
//	m ID                              message record: envelope and where its content lies
//	m ID recipient#                   recipient row, once its state is not the initial one
//	m ID ffffffff                     counts row, once the message has changed
//	q domain 00 due ID                schedule: which recipients of a domain are due when
//	r ID index kind                   a due report
//	s                                 what is suspended
//	h                                 the hand-over of this group's mail to another
//	i group                           what came from another group: hand-overs, letters
//	i group ID                        a letter that has come and is not this group's own yet
//	i group ID chunk#                 one chunk of a large one that is not complete yet
const (
	KeyMeta     = 'M'
	KeyChunk    = 'c'
	KeySlot     = 'l'
	KeyMessage  = 'm'
	KeySchedule = 'q'
	KeyReport   = 'r'
	keySuspend  = 's'
	KeyHandover = 'h'
	KeyIncoming = 'i'
)

const (
	IDLen        = len(mail.ID{}) // octets
	messageLen   = 1 + IDLen
	recipientLen = messageLen + 4
	CountsNumber = 1<<32 - 1 // takes the place of a recipient number in the key of the counts row
	dueLen       = 1 + 8 + IDLen
	MaxDomain    = 1 << 10 // octets; DNS allows 253, an address literal less
)

// The keys of the rows of which a group has one each.
var (
	MetaKey     = []byte{KeyMeta}
	SuspendKey  = []byte{keySuspend}
	HandoverKey = []byte{KeyHandover}
)

// AppendMessageKey makes the key of a message record.
func AppendMessageKey(b []byte, id mail.ID) []byte {
	return append(append(b, KeyMessage), id[:]...)
}

// AppendRecipientKey makes the key of a recipient row.
func AppendRecipientKey(b []byte, id mail.ID, number uint32) []byte {
	return binary.BigEndian.AppendUint32(AppendMessageKey(b, id), number)
}

// AppendChunkKey makes the key of a chunk of a large message.
func AppendChunkKey(b []byte, id mail.ID, seq uint32) []byte {
	return binary.BigEndian.AppendUint32(append(append(b, KeyChunk), id[:]...), seq)
}

func appendSlotKey(b []byte, l SlotKey) []byte {
	return append(binary.BigEndian.AppendUint64(append(b, KeySlot), l.Session), l.Slot)
}

// AppendReportKey makes the key of a due report.
func AppendReportKey(b []byte, r ReportID) []byte {
	b = append(append(b, KeyReport), r.ID[:]...)
	return append(binary.BigEndian.AppendUint64(b, r.Index), byte(r.Kind))
}

// AppendScheduleKey makes the key of a schedule row. A domain holds no NUL (the front sees to
// that), so that the rows of one domain are neighbours and those of "a" are not among those of
// "a.b".
func AppendScheduleKey[T ~string | ~[]byte](b []byte, domain T, due int64, id mail.ID) []byte {
	b = append(append(append(b, KeySchedule), domain...), 0)
	return append(binary.BigEndian.AppendUint64(b, uint64(due)), id[:]...)
}

// ParseScheduleKey takes a schedule key apart; domain is part of k.
func ParseScheduleKey(k []byte) (domain []byte, due int64, id mail.ID, ok bool) {
	n := len(k) - dueLen
	if n < 1 || k[0] != KeySchedule || bytes.IndexByte(k, 0) != n {
		return nil, 0, id, false
	}
	copy(id[:], k[n+9:])
	return k[1:n], int64(binary.BigEndian.Uint64(k[n+1:])), id, true
}

// ParseReportKey reads the key of a due report.
func ParseReportKey(k []byte) (r ReportID, ok bool) {
	if len(k) != messageLen+9 || k[0] != KeyReport {
		return r, false
	}
	copy(r.ID[:], k[1:])
	r.Index, r.Kind = binary.BigEndian.Uint64(k[messageLen:]), ReportKind(k[messageLen+8])
	return r, true
}

// ParseMessageKey reads the key of a message record (number is false), a recipient row or a counts
// row.
func ParseMessageKey(k []byte) (id mail.ID, number uint32, isRow, ok bool) {
	if len(k) < messageLen || k[0] != KeyMessage {
		return id, 0, false, false
	}
	copy(id[:], k[1:])
	switch len(k) {
	case messageLen:
		return id, 0, false, true
	case recipientLen:
		return id, binary.BigEndian.Uint32(k[messageLen:]), true, true
	}
	return id, 0, false, false
}

// ParseChunkKey reads the key of a chunk.
func ParseChunkKey(k []byte) (id mail.ID, seq uint32, ok bool) {
	if len(k) != messageLen+4 || k[0] != KeyChunk {
		return id, 0, false
	}
	copy(id[:], k[1:])
	return id, binary.BigEndian.Uint32(k[messageLen:]), true
}
