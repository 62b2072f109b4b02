package mailbox

import (
	"encoding/binary"
	"time"

	"github.com/postroad/postroad/internal/codec"
)

func appendSettings(b []byte, s Settings) []byte {
	for _, v := range [...]int64{s.Soft, s.Hard, s.Retention.Milliseconds()} {
		b = binary.AppendUvarint(b, uint64(max(v, 0)))
	}
	return b
}

func (d *decoder) settings() Settings {
	return Settings{d.Millis(), d.Millis(), d.retention()}
}

// retention reads a time in milliseconds that a Duration can hold.
func (d *decoder) retention() time.Duration {
	return time.Duration(d.Below(uint64(maxRetention/time.Millisecond)+1)) * time.Millisecond
}

const maxRetention = 100 * 365 * 24 * time.Hour

func (c *command) readCreateMailbox(d *decoder) {
	c.address, c.settings = d.text(maxAddress), d.settings()
}

func (c *command) readRenameMailbox(d *decoder) {
	c.readBox(d)
	c.address = d.text(maxAddress)
}

func (c *command) readSettings(d *decoder) {
	c.readBox(d)
	c.settings = d.settings()
}

func (c *command) readCreateFolder(d *decoder) {
	c.readBox(d)
	c.name = d.text(maxFolder)
}

// folderName is a new name for a folder.
type folderName struct {
	number uint32
	name   []byte
}

// A rename takes a folder's children with it, so it is a list.
func appendRenames(b []byte, r Ref, folders []Folder) []byte {
	b = binary.AppendUvarint(appendBox(b, r), uint64(len(folders)))
	for _, f := range folders {
		b = codec.AppendBytes(binary.AppendUvarint(b, uint64(f.Number)), f.Name)
	}
	return b
}

func (c *command) readRenameFolders(d *decoder) {
	c.readBox(d)
	c.names = c.names[:0]
	for n := d.Count(3); n > 0 && !d.Failed(); n-- {
		c.names = append(c.names, folderName{d.Uint32(), d.text(maxFolder)})
	}
}

type folderOptions struct {
	subscribed bool
	retention  time.Duration
}

func appendFolderOptions(b []byte, r Ref, f *Folder) []byte {
	b = append(appendFolder(b, r, f.Number), codec.Bit(f.Subscribed))
	return binary.AppendUvarint(b, uint64(f.Retention.Milliseconds()))
}

func (c *command) readFolderOptions(d *decoder) {
	c.readFolder(d)
	c.options = folderOptions{d.Bit(), d.retention()}
}

// FlagOp is what is done with flags.
type FlagOp byte

// The ways to change flags.
const (
	SetFlags FlagOp = iota + 1
	AddFlags
	RemoveFlags
)

func (o FlagOp) apply(old, f Flags) Flags {
	switch o {
	case AddFlags:
		return old | f
	case RemoveFlags:
		return old &^ f
	}
	return f
}

// appendFlags: messages changed after since are left alone, 0: none is.
func appendFlags(
	b []byte, r Ref, folder uint32, op FlagOp, f Flags, since uint64, uids []UID,
) []byte {
	b = append(appendMessages(b, r, folder, uids), byte(op))
	return binary.AppendUvarint(binary.AppendUvarint(b, uint64(f)), since)
}

func (c *command) readFlags(d *decoder) {
	c.readMessages(d)
	c.op, c.flags, c.since = FlagOp(d.Octet()), d.flags(), d.Uvarint()
	if c.op < SetFlags || c.op > RemoveFlags {
		d.Fail()
	}
}

func (c *command) readExpunge(d *decoder) {
	c.readMessages(d)
	c.marked = d.Bit()
}

func (c *command) readCopy(d *decoder) {
	c.readMessages(d)
	c.to, c.move = d.Uint32(), d.Bit()
}

func (c *command) readUpdate(d *decoder) {
	c.readBox(d)
	c.lock, c.folder = d.Uvarint(), Inbox
	c.uids = d.uids(c.uids[:0])
}

func (c *command) readFenceLock(d *decoder) {
	c.readBox(d)
	c.lock = d.Uvarint()
}

// A purge names its mailbox by number alone: the address may be another's by now.
func appendPurge(b []byte, mailbox, folder uint32, uids []UID) []byte {
	return appendUIDs(
		binary.AppendUvarint(binary.AppendUvarint(b, uint64(mailbox)), uint64(folder)),
		uids,
	)
}

func (c *command) readPurge(d *decoder) {
	c.box, c.folder = boxName{number: d.Uint32()}, d.Uint32()
	c.uids = d.uids(c.uids[:0])
}
