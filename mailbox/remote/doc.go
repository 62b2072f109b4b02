// Package remote carries what is done to mailboxes from the node where it is wanted to the node
// that owns them: appends in batches, listings, contents in pieces, and everything else as a
// Request. It knows no cluster: who asks finds the owner, and a Call takes requests there.
//
// Appends are safe to repeat under the same keys, on the same owner or another, as long as records
// are forgotten no earlier than a request can still be on its way (DropDedupAfter): a request that
// was given up by its sender may arrive after the one that followed it.
package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/postroad/postroad/mailbox"
)

// Paths of the requests between members.
const (
	PathAppend   = "/mailbox/append"
	PathTogether = "/mailbox/together"
	PathVerb     = "/mailbox/verb"
	PathMessages = "/mailbox/messages"
	PathPiece    = "/mailbox/piece"
	PathForget   = "/mailbox/forget"
	PathPending  = "/mailbox/pending"
)

// DropDedupAfter is how long a dedup record is kept after its recipient was settled. No request
// takes that long (see Sender).
const DropDedupAfter = 2 * time.Minute

// PieceSize is how much of a content one request asks for, in octets.
const PieceSize = 64 << 10

// Call makes a request to the member that is meant and gives its answer to read. The error says
// whether the request may have arrived: one that wraps mailbox.ErrRefused says that it has not.
type Call func(ctx context.Context, path string, body io.Reader, read func(io.Reader) error) error

// errs are the errors that cross the wire, by their number there. New ones go to the end.
var errs = []error{
	nil, mailbox.ErrRefused, mailbox.ErrUnknown, mailbox.ErrBusy, mailbox.ErrWrongShard,
	mailbox.ErrNoMailbox, mailbox.ErrNoFolder, mailbox.ErrNoMessage,
	mailbox.ErrExists, mailbox.ErrName, mailbox.ErrFull, mailbox.ErrTooMany, mailbox.ErrLocked,
	mailbox.ErrStaleLock, mailbox.ErrContent,
}

// number is an error's; what has none is one of whose outcome nothing is known.
func number(err error) byte {
	for i, e := range errs {
		if e != nil && errors.Is(err, e) {
			return byte(i)
		}
	}
	if err == nil {
		return 0
	}
	return number(mailbox.ErrUnknown)
}

// numbered is the error of a number, with what the other side said of it.
func numbered(n byte, text string) error {
	switch {
	case n == 0:
		return nil
	case int(n) >= len(errs):
		return fmt.Errorf("%w: an answer of an unknown kind (%d)", mailbox.ErrUnknown, n)
	case text == "" || text == errs[n].Error():
		return errs[n]
	}
	return said{errs[n], text}
}

// said is an error of another member in its words.
type said struct {
	error
	text string
}

func (e said) Error() string { return e.text }
func (e said) Unwrap() error { return e.error }
