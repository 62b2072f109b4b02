package mailbox

import (
	"encoding/binary"
	"fmt"

	"github.com/postroad/postroad/internal/codec"
)

// Commands are what goes through the log: version, type, command time (milliseconds), the proposer
// that made it (session, slot and number; proposer.go), then what the type says. All that a command
// does follows from its octets and the rows, so that each member comes to the same state. The work
// of each is bounded: a verb over many messages is several commands.
type commandType byte

const (
	cmdEpoch  commandType = iota + 1 // a new owner
	cmdAppend                        // messages; and records that are needed no more
	cmdChunk                         // one chunk of a large content
	cmdSweep                         // chunks that were given up
	cmdCreateMailbox
	cmdRemoveMailbox
	cmdRenameMailbox
	cmdSettings // of a mailbox
	cmdCreateFolder
	cmdRenameFolders
	cmdDeleteFolder
	cmdFolderOptions
	cmdFlags
	cmdExpunge
	cmdCopy      // or move
	cmdUpdate    // the UPDATE state of POP3 (RFC 1939 6)
	cmdFenceLock // updates of earlier locks are too late
	cmdRetain    // messages that have been there for long enough
	cmdPurge     // messages of what was deleted

	commandTypes
)

// commands has a row for each type: how its body is read, and what it does.
var commands [commandTypes]struct {
	read  func(*command, *decoder)
	apply func(*machine, [][]byte) any
}

func init() { // not a literal, for the functions refer to the table's users
	for t, row := range map[commandType]struct {
		read  func(*command, *decoder)
		apply func(*machine, [][]byte) any
	}{
		cmdEpoch:         {func(*command, *decoder) {}, (*machine).applyEpoch},
		cmdAppend:        {(*command).readAppend, (*machine).applyAppend},
		cmdChunk:         {(*command).readChunk, (*machine).applyChunk},
		cmdSweep:         {(*command).readSweep, (*machine).applySweep},
		cmdCreateMailbox: {(*command).readCreateMailbox, (*machine).applyCreateMailbox},
		cmdRemoveMailbox: {(*command).readBox, (*machine).applyRemoveMailbox},
		cmdRenameMailbox: {(*command).readRenameMailbox, (*machine).applyRenameMailbox},
		cmdSettings:      {(*command).readSettings, (*machine).applySettings},
		cmdCreateFolder:  {(*command).readCreateFolder, (*machine).applyCreateFolder},
		cmdRenameFolders: {(*command).readRenameFolders, (*machine).applyRenameFolders},
		cmdDeleteFolder:  {(*command).readFolder, (*machine).applyDeleteFolder},
		cmdFolderOptions: {(*command).readFolderOptions, (*machine).applyFolderOptions},
		cmdFlags:         {(*command).readFlags, (*machine).applyFlags},
		cmdExpunge:       {(*command).readExpunge, (*machine).applyExpunge},
		cmdCopy:          {(*command).readCopy, (*machine).applyCopy},
		cmdUpdate:        {(*command).readUpdate, (*machine).applyUpdate},
		cmdFenceLock:     {(*command).readFenceLock, (*machine).applyFenceLock},
		cmdRetain:        {(*command).readMessages, (*machine).applyRetain},
		cmdPurge:         {(*command).readPurge, (*machine).applyPurge},
	} {
		commands[t].read, commands[t].apply = row.read, row.apply
	}
}

// partSize is the largest part; a larger content is cut into parts of this size. Part of the
// format.
const partSize = 512 << 10

func partsOf(size int64) int { return int((size + partSize - 1) / partSize) }

// sender names one proposer of one owner and the number of its command. A proposer has one command
// under way at a time.
type sender struct {
	session uint64 // index of the owner's epoch command; an epoch's: the session before it
	slot    byte
	seq     uint64
}

func appendCommand(b []byte, t commandType, time int64, s sender) []byte {
	b = binary.AppendUvarint(append(b, formatVersion, byte(t)), uint64(time))
	b = append(binary.AppendUvarint(b, s.session), s.slot)
	return binary.AppendUvarint(b, s.seq)
}

// boxName names a mailbox as it was when the command was made; one of the same address and another
// number is another one.
type boxName struct {
	address []byte
	number  uint32
}

func appendBox(b []byte, r Ref) []byte {
	return binary.AppendUvarint(codec.AppendBytes(b, r.Address), uint64(r.Number))
}

// command is a decoded command. It is used again for the next one; its byte slices are parts of the
// command's data.
type command struct {
	kind commandType
	time int64
	sender

	drops      []DedupRecord
	deliveries []deliveryEntry
	items      []itemEntry
	chunk      chunkKey
	chunks     []chunkKey

	box      boxName
	address  []byte // new
	settings Settings
	folder   uint32
	name     []byte
	names    []folderName
	options  folderOptions

	uids   []UID
	op     FlagOp
	flags  Flags
	since  uint64
	marked bool // expunge: only what has the flag
	to     uint32
	move   bool
	lock   uint64
}

// Understands returns why this program cannot apply a command, if that is of a newer version or
// kind (cluster.Versioned).
func (*Store) Understands(data []byte) error {
	if len(data) < 2 || data[0] != formatVersion || data[1] == 0 ||
		commandType(data[1]) >= commandTypes {
		return fmt.Errorf(
			"a mailbox command that begins with %x is not known",
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
	c.sender = sender{d.Uvarint(), d.Octet(), d.Uvarint()}
	if c.kind == 0 || c.kind >= commandTypes {
		return errCorrupt
	}
	commands[c.kind].read(c, &d)
	return d.done()
}

func (c *command) readBox(d *decoder) { c.box = boxName{d.text(maxAddress), d.Uint32()} }

func (c *command) readFolder(d *decoder) {
	c.readBox(d)
	c.folder = d.Uint32()
}

func (c *command) readMessages(d *decoder) {
	c.readFolder(d)
	c.uids = d.uids(c.uids[:0])
}

func appendFolder(b []byte, r Ref, folder uint32) []byte {
	return binary.AppendUvarint(appendBox(b, r), uint64(folder))
}

func appendMessages(b []byte, r Ref, folder uint32, uids []UID) []byte {
	return appendUIDs(appendFolder(b, r, folder), uids)
}
