package machine

import (
	"encoding/binary"
	"fmt"

	"github.com/postroad/postroad/internal/codec"
	"github.com/postroad/postroad/internal/mail"
)

// Commands are what goes through the log: version, type, command time (milliseconds), then what the
// type says. All that a command does follows from its octets and the rows, so that each member
// comes to the same state.
type CommandType byte

const (
	CmdAccept   CommandType = iota + 1 // messages, each perhaps in answer to a due report
	CmdChunk                           // one chunk of a large message
	CmdSettle                          // outcomes
	CmdOperator                        // hold, release, flush, fail, remove
	CmdEpoch                           // a new owner
	CmdIdle                            // the owner has no attempt under way any more
	CmdSweep                           // what was given up: chunks, slots
	CmdDrop                            // due reports that nobody will make
	CmdSeal                            // nothing more is taken: the group is to go
	CmdSuspend                         // what is suspended; members of protocol 1 do not know it
	// Handing over; members below protocol 4 do not know these.
	CmdOffer  // an owner begins to hand messages over to another group
	CmdLetGo  // messages are the other group's now
	CmdOver   // and it knows so
	CmdBring  // one chunk of a large message from another group
	CmdTake   // messages from another group, to be put aside
	CmdFinish // which of them are this group's now
	cmdEnd    // one above the last
)

// SlotKey names one proposer of one owner. A proposer has one accept command under way at a time
// and numbers them, so that the number of its last one is all that is needed to know a repeated
// command (DESIGN.md).
type SlotKey struct {
	Session uint64 // index of the owner's epoch command
	Slot    byte
}

// SlotRow remembers a slot's last command.
type SlotRow struct {
	Seq  uint64
	Time int64
	Ok   bool // it was accepted
}

// Append writes the row.
func (l SlotRow) Append(b []byte) []byte {
	var ok byte
	if l.Ok {
		ok = 1
	}
	b = binary.AppendUvarint(append(b, FormatVersion, ok), l.Seq)
	return binary.AppendUvarint(b, uint64(l.Time))
}

// DecodeSlotRow reads the row of a proposer's slot.
func DecodeSlotRow(b []byte) (l SlotRow, err error) {
	d := Decoder{codec.New(b)}
	d.version()
	l.Ok = d.Octet() != 0
	l.Seq, l.Time = d.Uvarint(), d.Millis()
	return l, d.done()
}

// PartSize is the largest part; a larger content is cut into parts of this size. Part of the
// format.
const PartSize = 512 << 10

// PartsOf returns how many parts a content of that size has.
func PartsOf(size int64) int { return int((size + PartSize - 1) / PartSize) }

// AppendCommand begins a command: its type, and its time in milliseconds.
func AppendCommand(b []byte, t CommandType, time int64) []byte {
	return binary.AppendUvarint(append(b, FormatVersion, byte(t)), uint64(time))
}

// AcceptEntry is one message of an accept command. Its content is PartsOf(size) parts of the
// command, or, when chunks is not 0, the chunks that came before.
type AcceptEntry struct {
	ID       mail.ID
	report   ReportID // zero unless the message is the report for it
	Size     int64
	Chunks   uint32
	Envelope []byte
}

// AppendAcceptHead goes on with an accept command of n messages, the seq-th of its slot.
func AppendAcceptHead(b []byte, l SlotKey, seq uint64, n int) []byte {
	b = append(binary.BigEndian.AppendUint64(b, l.Session), l.Slot)
	b = binary.AppendUvarint(b, seq)
	return binary.AppendUvarint(b, uint64(n))
}

// AppendAcceptEntry adds a message to an accept command.
func AppendAcceptEntry(
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

// AppendSettle: n outcomes of attempts that the owner of that session made.
func AppendSettle(b []byte, session uint64, n int) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, session), uint64(n))
}

// AppendOutcome adds an outcome to a settle command.
func AppendOutcome(b []byte, o *Outcome) []byte {
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
	return AppendAttempt(b, &o.Attempt)
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

// Verb is an operator's command.
type Verb byte

// The verbs of an operator.
const (
	VerbHold Verb = iota + 1
	VerbRelease
	VerbFlush
	VerbFail
	VerbRemove
)

// RecipientRef names one recipient of one message.
type RecipientRef struct {
	ID     mail.ID
	Number uint32
}

// AppendOperator goes on with an operator's command.
func AppendOperator(b []byte, v Verb, why *mail.Attempt, refs []RecipientRef) []byte {
	b = AppendAttempt(append(b, byte(v)), why)
	b = binary.AppendUvarint(b, uint64(len(refs)))
	for _, r := range refs {
		b = binary.AppendUvarint(append(b, r.ID[:]...), uint64(r.Number))
	}
	return b
}

// AppendEpoch: member becomes the owner after that of the given session.
func AppendEpoch(b []byte, member uint16, after uint64) []byte {
	return binary.AppendUvarint(binary.BigEndian.AppendUint64(b, uint64(member)), after)
}

// ChunkRef names a chunk of a large message.
type ChunkRef struct {
	ID  mail.ID
	Seq uint32
}

// AppendSweep: slots of sessions below the given one go, and the chunks.
func AppendSweep(b []byte, session uint64, chunks []ChunkRef) []byte {
	b = binary.BigEndian.AppendUint64(b, session)
	b = binary.AppendUvarint(b, uint64(len(chunks)))
	for _, c := range chunks {
		b = binary.AppendUvarint(append(b, c.ID[:]...), uint64(c.Seq))
	}
	return b
}

// AppendDrop goes on with a command that gives due reports up.
func AppendDrop(b []byte, reports []ReportID) []byte {
	b = binary.AppendUvarint(b, uint64(len(reports)))
	for _, r := range reports {
		b = appendReportID(b, r)
	}
	return b
}

// Command is a decoded command. It is used again for the next one; its byte slices are parts of the
// command's data.
type Command struct {
	Kind     CommandType
	Time     int64
	Slot     SlotKey
	Seq      uint64
	Accept   []AcceptEntry
	chunk    ChunkRef
	outcomes []outcomeEntry
	verb     Verb
	why      []byte // encoded attempt
	refs     []RecipientRef
	member   uint64
	// of the owner that speaks; an epoch's: the one before it; a sweep's: the first that stays
	Session  uint64
	chunks   []ChunkRef
	reports  []ReportID
	Suspend  Suspensions
	Handover handoverCommand
	newer    newer
}

// Understands returns why this program cannot apply a command, if that is of a newer version or
// kind.
func Understands(data []byte) error {
	if len(data) < 2 || data[0] != FormatVersion || data[1] == 0 ||
		CommandType(data[1]) >= NewestCommand {
		return fmt.Errorf(
			"a queue command that begins with %x is not known",
			data[:min(len(data), 2)],
		)
	}
	return nil
}

// Decode reads a whole command before any of it is applied.
func (c *Command) Decode(data []byte) error {
	d := Decoder{codec.New(data)}
	d.version()
	c.Kind, c.Time = CommandType(d.Octet()), d.Millis()
	switch c.Kind {
	case CmdAccept:
		c.decodeAccept(&d)
	case CmdChunk:
		c.chunk = ChunkRef{d.id(), uint32(d.Below(1 << 32))}
	case CmdSettle:
		c.decodeSettle(&d)
	case CmdOperator:
		c.decodeOperator(&d)
	case CmdEpoch:
		c.member, c.Session = d.Uint64(), d.Uvarint()
	case CmdIdle:
		c.Session = d.Uint64()
	case CmdSweep:
		c.Session, c.chunks = d.Uint64(), c.chunks[:0]
		for n := d.Count(IDLen + 1); n > 0; n-- {
			c.chunks = append(c.chunks, ChunkRef{d.id(), uint32(d.Below(1 << 32))})
		}
	case CmdDrop:
		c.reports = c.reports[:0]
		for n := d.Count(IDLen + 2); n > 0; n-- {
			c.reports = append(c.reports, d.reportID())
		}
	case CmdSeal:
	case CmdSuspend:
		c.decodeSuspend(&d)
	default:
		if !c.decodeHandover(&d) && !c.decodeNewer(&d) {
			return ErrCorrupt
		}
	}
	return d.done()
}

func (d *Decoder) reportID() (r ReportID) {
	if r.Kind = ReportKind(d.Octet()); r.Kind == 0 {
		return r
	}
	if r.Kind > ReportSuccess {
		d.Fail()
	}
	r.ID, r.Index = d.id(), d.Uvarint()
	return r
}

func (c *Command) decodeAccept(d *Decoder) {
	c.Slot = SlotKey{d.Uint64(), d.Octet()}
	c.Seq, c.Accept = d.Uvarint(), c.Accept[:0]
	for n := d.Count(IDLen + 4); n > 0 && !d.Failed(); n-- {
		e := AcceptEntry{ID: d.id(), report: d.reportID()}
		e.Size, e.Chunks = d.Millis(), uint32(d.Below(1<<32))
		e.Envelope = d.Bytes()
		c.Accept = append(c.Accept, e)
		if e.Chunks > 0 && (n > 1 || len(c.Accept) > 1) {
			d.Fail() // it may fail, so it travels alone: a command is accepted as a whole
		}
	}
}

func (c *Command) decodeSettle(d *Decoder) {
	c.Session, c.outcomes = d.Uvarint(), c.outcomes[:0]
	for n := d.Count(IDLen + 4); n > 0 && !d.Failed(); n-- {
		o := outcomeEntry{
			id:     d.id(),
			number: uint32(d.Below(CountsNumber)),
			state:  State(d.Octet()),
			flags:  d.Octet(),
			due:    d.Millis(),
		}
		o.attempt, o.at = d.skipAttempt()
		if !o.state.Outcome() || o.flags > outcomeWarn|outcomeHopDSN {
			d.Fail()
		}
		c.outcomes = append(c.outcomes, o)
	}
}

func (c *Command) decodeOperator(d *Decoder) {
	c.verb, c.refs = Verb(d.Octet()), c.refs[:0]
	if c.verb < VerbHold || c.verb > VerbRemove {
		d.Fail()
	}
	c.why, _ = d.skipAttempt()
	for n := d.Count(IDLen + 1); n > 0 && !d.Failed(); n-- {
		c.refs = append(c.refs, RecipientRef{d.id(), uint32(d.Below(CountsNumber))})
	}
}
