package mailbox

import (
	"encoding/binary"

	"github.com/postroad/postroad/internal/mail"
)

// The rows of a group. Numbers are big-endian, so that a folder's messages are neighbours in the
// order of their UIDs.
//
//	M                           meta: newest command time, epoch, counters
//	a ID recipient              dedup record: which copies of a recipient's message were appended
//	b address                   mailbox: settings and totals
//	c index number              content: how many messages refer to it, and where it lies
//	f mailbox folder            folder: name and totals
//	k session upload seq        one chunk of a large content whose append has not come yet
//	l session slot              the last command of one proposer and its result
//	m mailbox folder uid        message
//	n mailbox name              the number of the folder of that name; INBOX has none
//	x mailbox folder            condemned: messages left of a deleted folder (0: mailbox)
const (
	keyMeta      = 'M'
	keyRecord    = 'a'
	keyMailbox   = 'b'
	keyContent   = 'c'
	keyFolder    = 'f'
	keyChunk     = 'k'
	keySlot      = 'l'
	keyMessage   = 'm'
	keyName      = 'n'
	keyCondemned = 'x'
)

const (
	idLen      = len(mail.ID{})
	recordLen  = 1 + idLen + 4
	folderLen  = 1 + 4 + 4
	messageLen = folderLen + 4
	chunkLen   = 1 + 8 + 8 + 4
	contentLen = 1 + 8 + 4
)

var metaKey = []byte{keyMeta}

func appendRecordKey(b []byte, r DedupRecord) []byte {
	return binary.BigEndian.AppendUint32(append(append(b, keyRecord), r.ID[:]...), r.Recipient)
}

func parseRecordKey(k []byte) (r DedupRecord, ok bool) {
	if len(k) != recordLen || k[0] != keyRecord {
		return r, false
	}
	copy(r.ID[:], k[1:])
	r.Recipient = binary.BigEndian.Uint32(k[1+idLen:])
	return r, true
}

func appendMailboxKey[T ~string | ~[]byte](b []byte, address T) []byte {
	return append(append(b, keyMailbox), address...)
}

// contentID names a content: the entry that brought it to its first messages, and its number there.
type contentID struct {
	index  uint64
	number uint32
}

func appendContentKey(b []byte, c contentID) []byte {
	return binary.BigEndian.AppendUint32(
		binary.BigEndian.AppendUint64(append(b, keyContent), c.index),
		c.number,
	)
}

func appendPair(b []byte, kind byte, mailbox, folder uint32) []byte {
	return binary.BigEndian.AppendUint32(
		binary.BigEndian.AppendUint32(append(b, kind), mailbox),
		folder,
	)
}

func appendFolderKey(b []byte, mailbox, folder uint32) []byte {
	return appendPair(b, keyFolder, mailbox, folder)
}

func appendCondemnedKey(b []byte, mailbox, folder uint32) []byte {
	return appendPair(b, keyCondemned, mailbox, folder)
}

func appendMessageKey(b []byte, mailbox, folder uint32, uid UID) []byte {
	return binary.BigEndian.AppendUint32(appendPair(b, keyMessage, mailbox, folder), uid)
}

// parsePair reads the key of a folder or of something condemned; the rest of a message's key
// follows it.
func parsePair(k []byte, kind byte) (mailbox, folder uint32, ok bool) {
	if len(k) < folderLen || k[0] != kind {
		return 0, 0, false
	}
	return binary.BigEndian.Uint32(k[1:]), binary.BigEndian.Uint32(k[5:]), true
}

func parseMessageKey(k []byte) (mailbox, folder uint32, uid UID, ok bool) {
	if mailbox, folder, ok = parsePair(k, keyMessage); !ok || len(k) != messageLen {
		return 0, 0, 0, false
	}
	return mailbox, folder, binary.BigEndian.Uint32(k[folderLen:]), true
}

// appendPrefix begins the keys of one kind that belong to a mailbox; those of the next number come
// after them all.
func appendPrefix(b []byte, kind byte, mailbox uint32) []byte {
	return binary.BigEndian.AppendUint32(append(b, kind), mailbox)
}

func appendNameKey[T ~string | ~[]byte](b []byte, mailbox uint32, name T) []byte {
	return append(appendPrefix(b, keyName, mailbox), name...)
}

// chunkKey names a chunk of a large content. Only the session that sent it can use it.
type chunkKey struct {
	session, upload uint64
	seq             uint32
}

func appendChunkKey(b []byte, c chunkKey) []byte {
	b = binary.BigEndian.AppendUint64(
		binary.BigEndian.AppendUint64(append(b, keyChunk), c.session),
		c.upload,
	)
	return binary.BigEndian.AppendUint32(b, c.seq)
}

func parseChunkKey(k []byte) (c chunkKey, ok bool) {
	if len(k) != chunkLen || k[0] != keyChunk {
		return c, false
	}
	return chunkKey{
		binary.BigEndian.Uint64(k[1:]),
		binary.BigEndian.Uint64(k[9:]),
		binary.BigEndian.Uint32(k[17:]),
	}, true
}

func appendSlotKey(b []byte, session uint64, slot byte) []byte {
	return append(binary.BigEndian.AppendUint64(append(b, keySlot), session), slot)
}
