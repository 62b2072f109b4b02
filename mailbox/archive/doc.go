// Package archive writes the messages of a mailbox to files that other programs read, and reads
// such files: mbox and Maildir, and the stream in which they cross from and to a node. What this
// package wrote it reads back octet for octet, with folders, flags and dates. Of the files of other
// programs a Report tells what was left out, refused or in doubt.
//
// Readers and writers are for one goroutine. They hold one message in memory; a reader of an mbox
// also holds what it sees ahead, when a Content-Length is to be checked.
package archive

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/postroad/postroad/mailbox"
)

// Message is one message with what a mailbox knows of it.
type Message struct {
	Folder  string // INBOX, or a name whose levels are parted by "/"
	Flags   mailbox.Flags
	Date    time.Time // internal date, to the millisecond
	Content []byte    // valid until the next call
}

// Reader reads messages.
type Reader interface {
	// Next returns the next message, or io.EOF after the last.
	Next() (*Message, error)
}

// Writer writes messages.
type Writer interface {
	// Folder makes a folder, where the format has folders without messages.
	Folder(name string) error
	Write(*Message) error
	// Close ends the archive. Without it, it is not complete.
	Close() error
}

// MaxMessage bounds a message that is read, in octets.
const MaxMessage = 1 << 30

var errTooLarge = fmt.Errorf("a message has more than %d octets", MaxMessage)

// inbox is the folder of what is in none.
const inbox = "INBOX"

// flagNames are the flags in the order of their bits.
var flagNames = []string{"seen", "answered", "flagged", "deleted", "draft"}

// flagsText returns the names of flags, parted by commas; "-" for none.
func flagsText(f mailbox.Flags) string {
	s := ""
	for i, name := range flagNames {
		if f&(1<<i) != 0 {
			s += "," + name
		}
	}
	if s == "" {
		return "-"
	}
	return s[1:]
}

// flagsOf reads what flagsText wrote.
func flagsOf(text string) (f mailbox.Flags) {
	for name := range strings.SplitSeq(text, ",") {
		if i := slices.Index(flagNames, name); i >= 0 {
			f |= 1 << i
		}
	}
	return f
}

// letters are flags by their letters in a format, in the order in which it writes them.
type letters []struct {
	letter byte
	flag   mailbox.Flags
}

func (l letters) text(f mailbox.Flags) (s string) {
	for _, x := range l {
		if f&x.flag != 0 {
			s += string(x.letter)
		}
	}
	return s
}

func (l letters) flags(s string) (f mailbox.Flags) {
	for _, x := range l {
		if strings.IndexByte(s, x.letter) >= 0 {
			f |= x.flag
		}
	}
	return f
}

// Copy copies messages, after the first skip of them, and calls copied with the number of those
// that were copied or skipped.
func Copy(to Writer, from Reader, skip int64, copied func(int64)) (n int64, err error) {
	for {
		m, err := from.Next()
		if errors.Is(err, io.EOF) {
			return n, to.Close()
		}
		if err == nil && n >= skip {
			err = to.Write(m)
		}
		if err != nil {
			return n, err
		}
		if n++; copied != nil {
			copied(n)
		}
	}
}
