package pop3

import (
	"math"
	"strconv"
	"time"

	"github.com/postroad/postroad/mailbox"
)

// maildrop is a maildrop as it was when its session locked it: the messages that came later are the
// next session's (RFC 1939 4). It takes 8 octets a message, and one bit once something is marked.
type maildrop struct {
	validity  uint32
	retention time.Duration // messages go after so long; 0: never
	messages  []message
	marked    []uint64 // a bit for each message that is marked as deleted; nil until one is
	count     int      // messages that are not marked
	octets    int64    // theirs
}

type message struct {
	uid  mailbox.UID
	size uint32 // octets
}

const messageSize = 8 // octets of a message

func newMaildrop(
	folder *mailbox.Folder, retention time.Duration, list []mailbox.Message,
) *maildrop {
	d := &maildrop{
		validity:  folder.Validity,
		retention: retention,
		messages:  make([]message, len(list)),
		count:     len(list),
	}
	for i := range list {
		size := min(max(list[i].Size, 0), math.MaxUint32)
		d.messages[i] = message{list[i].UID, uint32(size)}
		d.octets += size
	}
	return d
}

// memory is what the drop takes, in octets.
func (d *maildrop) memory() int64 { return int64(len(d.messages)) * messageSize }

func (d *maildrop) isMarked(i int) bool {
	return d.marked != nil && d.marked[i/64]&(1<<(i%64)) != 0
}

// mark marks message i, which is not, as deleted.
func (d *maildrop) mark(i int) {
	if d.marked == nil {
		d.marked = make([]uint64, (len(d.messages)+63)/64)
	}
	d.marked[i/64] |= 1 << (i % 64)
	d.count--
	d.octets -= int64(d.messages[i].size)
}

// reset unmarks all.
func (d *maildrop) reset() {
	if d.marked == nil {
		return
	}
	d.marked, d.count, d.octets = nil, len(d.messages), 0
	for _, m := range d.messages {
		d.octets += int64(m.size)
	}
}

// removals returns the UIDs of the marked messages, which ascend.
func (d *maildrop) removals() (uids []mailbox.UID) {
	if d.marked == nil {
		return nil
	}
	uids = make([]mailbox.UID, 0, len(d.messages)-d.count)
	for i := range d.messages {
		if d.isMarked(i) {
			uids = append(uids, d.messages[i].uid)
		}
	}
	return uids
}

// appendLine appends what LIST says of message i, or UIDL.
func (d *maildrop) appendLine(b []byte, i int, uids bool) []byte {
	b = append(strconv.AppendInt(b, int64(i)+1, 10), ' ')
	if uids {
		b = appendHex32(appendHex32(b, d.validity), d.messages[i].uid)
	} else {
		b = strconv.AppendUint(b, uint64(d.messages[i].size), 10)
	}
	return append(b, '\r', '\n')
}

// appendHex32 appends eight digits: a unique-id is the folder's UIDVALIDITY and the message's UID,
// neither of which is ever used again (RFC 1939 7).
func appendHex32(b []byte, n uint32) []byte {
	const digits = "0123456789abcdef"
	for shift := 28; shift >= 0; shift -= 4 {
		b = append(b, digits[n>>shift&15])
	}
	return b
}
