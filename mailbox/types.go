package mailbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/rows"
)

// Apply writes to a Writer; rows and the parts of contents are read through a Reader, and commands
// go through a Proposer.
type (
	Writer   = rows.ContentWriter
	Reader   = rows.ContentReader
	Proposer = rows.Proposer
)

// Group is what a store needs of its replicated group.
type Group interface {
	Reader
	Proposer
}

// Errors of the owner's side. Errors of several causes wrap these.
var (
	// nothing happened: another member is the owner, or the group refused
	ErrRefused    = rows.ErrRefused
	ErrUnknown    = rows.ErrUnknown // the mailboxes may have been changed, or may still be
	ErrBusy       = errors.New("too much is waiting for the mailboxes, try again later")
	ErrWrongShard = errors.New("the mailbox is in another shard")
	ErrNoMailbox  = errors.New("no such mailbox")
	ErrNoFolder   = errors.New("no such folder")
	ErrNoMessage  = errors.New("no such message")
	ErrExists     = errors.New("there is one of that name")
	ErrName       = errors.New("the name cannot be used")
	ErrFull       = errors.New("the mailbox is full")
	ErrTooMany    = errors.New("the mailbox has too many folders")
	ErrLocked     = errors.New("another session has the mailbox")
	ErrStaleLock  = errors.New("the session has lost the mailbox")
	ErrContent    = errors.New("the content could not be read or is not as long as it says")
)

// errNotOwner is what this member itself refuses with.
var errNotOwner = fmt.Errorf("%w: not the owner of these mailboxes", ErrRefused)

// UID names a message in its folder (RFC 9051 2.3.1.1): given in ascending order, never twice.
type UID = uint32

// Flags are a message's system flags (RFC 9051 2.3.2).
type Flags uint8

const (
	Seen Flags = 1 << iota
	Answered
	Flagged
	Deleted
	Draft

	allFlags = Seen | Answered | Flagged | Deleted | Draft
)

// Inbox is the folder that each mailbox has. Its name is INBOX in any case of letters.
const Inbox uint32 = 1

// Bounds of the names.
const (
	maxAddress = 512 // octets
	maxFolder  = 255
	maxFolders = 1000
	maxPrefix  = 4 << 10
)

// AppendKey says whose an append is: a recipient of a message in the queue. An append whose key is
// known is not done again, whatever became of the message meanwhile, until DropDedupRecords. A
// recipient that leaves several copies (by the user's rules) numbers them.
type AppendKey struct {
	ID        mail.ID // zero: no key, the append is done as often as it is asked for
	Recipient uint32
	Copy      uint8 // below MaxCopies
}

// MaxCopies is how many copies one recipient may leave in a shard.
const MaxCopies = 64

// DedupRecord is what DropDedupRecords takes: all copies of one recipient.
type DedupRecord struct {
	ID        mail.ID
	Recipient uint32
}

// Content is what all items of a delivery share.
type Content struct {
	Size  int64
	Bytes []byte                        // all of it, not changed until done is called; or else
	Open  func() (io.ReadCloser, error) // called at most once, on another goroutine
}

// Reader gives the octets to read, whichever way they are there.
func (c *Content) Reader() (io.ReadCloser, error) {
	if c.Bytes != nil || c.Open == nil {
		return io.NopCloser(bytes.NewReader(c.Bytes)), nil
	}
	return c.Open()
}

// Delivery is a content and the mailboxes of this shard that get it. Its octets are stored once.
type Delivery struct {
	Content Content
	Items   []Item // at most MaxItems
}

// Item is one message to be appended.
type Item struct {
	Key     AppendKey
	Mailbox string // canonical address
	Folder  string // name; "" is the inbox, and so is a folder that is not there
	Flags   Flags
	Date    time.Time // internal date; zero: command time
	// this message's own first lines (Return-Path, Delivered-To), up to 4 KiB, in front of the
	// content
	Prefix []byte
	// OverQuota: the hard quota does not count (import).
	OverQuota bool
}

// Code says what became of an item.
type Code uint8

const (
	Stored    Code = iota + 1 // it is there
	Duplicate                 // it had been appended before under this key
	NoMailbox                 // 550 5.1.1
	Full                      // over the hard quota: 452 4.2.2
	// the pieces of a large content were given up meanwhile: nothing happened
	Again
)

// Result is what became of an item.
type Result struct {
	Code    Code
	UID     UID  // Stored
	InInbox bool // Stored: the folder was not there
	// Stored: with this message the mailbox is over its soft quota; told once until it was below
	// again
	Warn bool
}

// Settings of a mailbox. Zero: no limit.
type Settings struct {
	Soft, Hard int64 // octets of all its messages
	// messages go when they have been in their folder for so long; a folder may have its own
	Retention time.Duration
}

// Mailbox is a mailbox as it is stored.
type Mailbox struct {
	Ref
	Settings
	Created  time.Time
	Messages uint64
	Bytes    int64
	Folders  int
}

// Ref names a mailbox for good: its number is never used again in the shard, while the address may
// be.
type Ref struct {
	Address string
	Number  uint32
}

// Folder is a folder as it is stored. Number and Validity are never used again.
type Folder struct {
	Number     uint32
	Name       string // levels are parted by "/"
	Subscribed bool
	Retention  time.Duration // zero: the mailbox's
	Validity   uint32        // UIDVALIDITY
	Next       UID           // UIDNEXT
	ModSeq     uint64        // of the last change (RFC 7162 HIGHESTMODSEQ)
	Messages   uint64
	Bytes      int64
	Unseen     uint64
	Deleted    uint64 // have the flag
}

// Message is a message as a listing tells it.
type Message struct {
	UID    UID
	Flags  Flags
	ModSeq uint64
	Size   int64 // prefix and content
	Date   int64 // internal date, milliseconds since 1970
	Saved  int64 // when it came to this folder, milliseconds since 1970
	rest   []byte
}

// Change says that a folder was changed.
type Change struct {
	Mailbox Ref
	Folder  uint32 // 0: the mailbox was removed or renamed
	ModSeq  uint64
}

// Listener hears of applied changes, on the owner only and after the batch is in the store. It must
// not block.
type Listener interface {
	// Changed gives each changed folder once per command. The slice is valid during the call.
	Changed(changes []Change)
}
