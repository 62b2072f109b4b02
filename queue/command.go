package queue

import (
	"encoding/binary"
	"fmt"

	"github.com/postroad/postroad/internal/codec"
	"github.com/postroad/postroad/internal/mail"
)

// Commands are what goes through the log: version, type, command time (milliseconds), then what the
// type says. All that a command does follows from its octets and the rows, so that each member
// comes to the same state.
type commandType byte

const (
	cmdAccept   commandType = iota + 1 // messages, each perhaps in answer to a due report
	cmdChunk                           // one chunk of a large message
	cmdSettle                          // outcomes
	cmdOperator                        // hold, release, flush, fail, remove
	cmdEpoch                           // a new owner
	cmdIdle                            // the owner has no attempt under way any more
	cmdSweep                           // what was given up: chunks, slots
	cmdDrop                            // due reports that nobody will make
	cmdSeal                            // nothing more is taken: the group is to go
	cmdSuspend                         // what is suspended; members of protocol 1 do not know it
	// Handing over; members below protocol 4 do not know these.
	cmdOffer  // an owner begins to hand messages over to another group
	cmdLetGo  // messages are the other group's now
	cmdOver   // and it knows so
	cmdBring  // one chunk of a large message from another group
	cmdTake   // messages from another group, to be put aside
	cmdFinish // which of them are this group's now
	cmdEnd    // one above the last
)

// slotKey names one proposer of one owner. A proposer has one accept command under way at a time
// and numbers them, so that the number of its last one is all that is needed to know a repeated
// command (DESIGN.md).
type slotKey struct {
	session uint64 // index of the owner's epoch command
	slot    byte
}

// slotRow remembers a slot's last command.
type slotRow struct {
	seq  uint64
	time int64
	ok   bool // it was accepted
}

func (l slotRow) append(b []byte) []byte {
	var ok byte
	if l.ok {
		ok = 1
	}
	b = binary.AppendUvarint(append(b, formatVersion, ok), l.seq)
	return binary.AppendUvarint(b, uint64(l.time))
}

func decodeSlotRow(b []byte) (l slotRow, err error) {
	d := decoder{codec.New(b)}
	d.version()
	l.ok = d.Octet() != 0
	l.seq, l.time = d.Uvarint(), d.Millis()
	return l, d.done()
}

// partSize is the largest part; a larger content is cut into parts of this size. Part of the
// format.
const partSize = 512 << 10

func partsOf(size int64) int { return int((size + partSize - 1) / partSize) }

func appendCommand(b []byte, t commandType, time int64) []byte {
	return binary.AppendUvarint(append(b, formatVersion, byte(t)), uint64(time))
}

// acceptEntry is one message of an accept command. Its content is partsOf(size) parts of the
// command, or, when chunks is not 0, the chunks that came before.
type acceptEntry struct {
	id       mail.ID
	report   ReportID // zero unless the message is the report for it
	size     int64
	chunks   uint32
	envelope []byte
}

func appendAcceptHead(b []byte, l slotKey, seq uint64, n int) []byte {
	b = append(binary.BigEndian.AppendUint64(b, l.session), l.slot)
	b = binary.AppendUvarint(b, seq)
	return binary.AppendUvarint(b, uint64(n))
}

func appendAcceptEntry(
	b []byte, id mail.ID, report ReportID, size int64, chunks uint32, envelope []byte,
) []byte {
	b = append(b, id[:]...)
	if report.Kind == 0 {
		b = append(b, 0)
	} else {
		b = appendReportID(b, report)
	}
	b = binary.AppendUvarint(b, uint64(size))
	b = binary.AppendUvarint(b, uint64(chunks))
	return codec.AppendBytes(b, envelope)
}

func appendReportID(b []byte, r ReportID) []byte {
	return binary.AppendUvarint(append(append(b, byte(r.Kind)), r.ID[:]...), r.Index)
}

// appendSettle: n outcomes of attempts that the owner of that session made.
func appendSettle(b []byte, session uint64, n int) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, session), uint64(n))
}

func appendOutcome(b []byte, o *Outcome) []byte {
	b = append(b, o.ID[:]...)
	b = binary.AppendUvarint(b, uint64(o.Recipient))
	var flags byte
	if o.Warn {
		flags |= outcomeWarn
	}
	if o.HopDSN {
		flags |= outcomeHopDSN
	}
	b = append(b, byte(o.State), flags)
	b = binary.AppendUvarint(b, uint64(codec.ToMillis(o.Due)))
	return appendAttempt(b, &o.Attempt)
}

const (
	outcomeWarn = 1 << iota
	outcomeHopDSN
)

// outcomeEntry is one outcome of a settle command.
type outcomeEntry struct {
	id      mail.ID
	number  uint32
	state   State
	flags   byte
	due     int64
	at      int64
	attempt []byte
}

// verb is an operator's command.
type verb byte

const (
	verbHold verb = iota + 1
	verbRelease
	verbFlush
	verbFail
	verbRemove
)

// recipientRef names one recipient of one message.
type recipientRef struct {
	ID     mail.ID
	Number uint32
}

func appendOperator(b []byte, v verb, why *mail.Attempt, refs []recipientRef) []byte {
	b = appendAttempt(append(b, byte(v)), why)
	b = binary.AppendUvarint(b, uint64(len(refs)))
	for _, r := range refs {
		b = binary.AppendUvarint(append(b, r.ID[:]...), uint64(r.Number))
	}
	return b
}

// appendEpoch: member becomes the owner after that of the given session.
func appendEpoch(b []byte, member uint16, after uint64) []byte {
	return binary.AppendUvarint(binary.BigEndian.AppendUint64(b, uint64(member)), after)
}

type chunkRef struct {
	id  mail.ID
	seq uint32
}

// appendSweep: slots of sessions below the given one go, and the chunks.
func appendSweep(b []byte, session uint64, chunks []chunkRef) []byte {
	b = binary.BigEndian.AppendUint64(b, session)
	b = binary.AppendUvarint(b, uint64(len(chunks)))
	for _, c := range chunks {
		b = binary.AppendUvarint(append(b, c.id[:]...), uint64(c.seq))
	}
	return b
}

func appendDrop(b []byte, reports []ReportID) []byte {
	b = binary.AppendUvarint(b, uint64(len(reports)))
	for _, r := range reports {
		b = appendReportID(b, r)
	}
	return b
}

// command is a decoded command. It is used again for the next one; its byte slices are parts of the
// command's data.
type command struct {
	kind     commandType
	time     int64
	slot     slotKey
	seq      uint64
	accept   []acceptEntry
	chunk    chunkRef
	outcomes []outcomeEntry
	verb     verb
	why      []byte // encoded attempt
	refs     []recipientRef
	member   uint64
	// of the owner that speaks; an epoch's: the one before it; a sweep's: the first that stays
	session  uint64
	chunks   []chunkRef
	reports  []ReportID
	suspend  Suspensions
	handover handoverCommand
	newer    newer
}

// Understands returns why this program cannot apply a command, if that is of a newer version or
// kind.
func Understands(data []byte) error {
	if len(data) < 2 || data[0] != formatVersion || data[1] == 0 ||
		commandType(data[1]) >= newestCommand {
		return fmt.Errorf(
			"a queue command that begins with %x is not known",
			data[:min(len(data), 2)],
		)
	}
	return nil
}

// decode reads a whole command before any of it is applied.
func (c *command) decode(data []byte) error {
	d := decoder{codec.New(data)}
	d.version()
	c.kind, c.time = commandType(d.Octet()), d.Millis()
	switch c.kind {
	case cmdAccept:
		c.decodeAccept(&d)
	case cmdChunk:
		c.chunk = chunkRef{d.id(), uint32(d.Below(1 << 32))}
	case cmdSettle:
		c.decodeSettle(&d)
	case cmdOperator:
		c.decodeOperator(&d)
	case cmdEpoch:
		c.member, c.session = d.Uint64(), d.Uvarint()
	case cmdIdle:
		c.session = d.Uint64()
	case cmdSweep:
		c.session, c.chunks = d.Uint64(), c.chunks[:0]
		for n := d.Count(idLen + 1); n > 0; n-- {
			c.chunks = append(c.chunks, chunkRef{d.id(), uint32(d.Below(1 << 32))})
		}
	case cmdDrop:
		c.reports = c.reports[:0]
		for n := d.Count(idLen + 2); n > 0; n-- {
			c.reports = append(c.reports, d.reportID())
		}
	case cmdSeal:
	case cmdSuspend:
		c.decodeSuspend(&d)
	default:
		if !c.decodeHandover(&d) && !c.decodeNewer(&d) {
			return errCorrupt
		}
	}
	return d.done()
}

func (d *decoder) reportID() (r ReportID) {
	if r.Kind = ReportKind(d.Octet()); r.Kind == 0 {
		return r
	}
	if r.Kind > ReportSuccess {
		d.Fail()
	}
	r.ID, r.Index = d.id(), d.Uvarint()
	return r
}

func (c *command) decodeAccept(d *decoder) {
	c.slot = slotKey{d.Uint64(), d.Octet()}
	c.seq, c.accept = d.Uvarint(), c.accept[:0]
	for n := d.Count(idLen + 4); n > 0 && !d.Failed(); n-- {
		e := acceptEntry{id: d.id(), report: d.reportID()}
		e.size, e.chunks = d.Millis(), uint32(d.Below(1<<32))
		e.envelope = d.Bytes()
		c.accept = append(c.accept, e)
		if e.chunks > 0 && (n > 1 || len(c.accept) > 1) {
			d.Fail() // it may fail, so it travels alone: a command is accepted as a whole
		}
	}
}

func (c *command) decodeSettle(d *decoder) {
	c.session, c.outcomes = d.Uvarint(), c.outcomes[:0]
	for n := d.Count(idLen + 4); n > 0 && !d.Failed(); n-- {
		o := outcomeEntry{
			id:     d.id(),
			number: uint32(d.Below(countsNumber)),
			state:  State(d.Octet()),
			flags:  d.Octet(),
			due:    d.Millis(),
		}
		o.attempt, o.at = d.skipAttempt()
		if !o.state.outcome() || o.flags > outcomeWarn|outcomeHopDSN {
			d.Fail()
		}
		c.outcomes = append(c.outcomes, o)
	}
}

func (c *command) decodeOperator(d *decoder) {
	c.verb, c.refs = verb(d.Octet()), c.refs[:0]
	if c.verb < verbHold || c.verb > verbRemove {
		d.Fail()
	}
	c.why, _ = d.skipAttempt()
	for n := d.Count(idLen + 1); n > 0 && !d.Failed(); n-- {
		c.refs = append(c.refs, recipientRef{d.id(), uint32(d.Below(countsNumber))})
	}
}
