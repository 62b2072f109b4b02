// Package trace finds what a node's event log knows of a message. It reads the files from their
// ends, so that what is new is found at once and the memory it takes does not grow with them.
package trace

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/postroad/postroad/internal/maillog"
)

// Query selects events; all that is set must hold.
type Query struct {
	// IDs are the messages, in lower case; nil: any. The Reception of a message that was made of
	// one of them belongs to it.
	IDs map[string]bool
	// Names are Message-IDs without their brackets, and IDs of sessions; nil: any.
	Names map[string]bool
	// Refusals lets pass what was refused and so has no ID, too.
	Refusals bool
	// Sender and Recipient are whole addresses, in any case; "<>" is the null reverse-path. A
	// recipient has two, the one that the sender used and the one that the mail goes to. With IDs
	// or Names, Recipient also lets pass what is of the message as a whole: its Reception names the
	// first recipient only.
	Sender, Recipient string
	// Since is the time of the oldest event wanted.
	Since time.Time
}

// Event is one line of the event log.
type Event struct {
	At   time.Time
	ID   string
	Line json.RawMessage // valid JSON; the callee may keep it
}

// disorder is how much younger than Since a line may be written that stands before an older one:
// many goroutines log at once, and command time differs a little from the clock.
const disorder = 5 * time.Minute

// Search calls fn with the events that q selects in the event log at path and its rotated files,
// the newest first or nearly so, until it returns false. A file that is missing has no events.
func Search(ctx context.Context, path string, q *Query, fn func(Event) (goOn bool)) error {
	current, err := openFile(path)
	if err != nil {
		return err
	}
	defer current.Close()
	// The list is made with the newest file open: if it is rotated now, it is in the list as well,
	// and is told by what it is.
	old, err := maillog.Rotated(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("event log: %w", err)
	}
	goOn, err := current.search(ctx, q, fn)
	for _, path := range slices.Backward(old) {
		if !goOn || err != nil {
			return err
		}
		goOn, err = searchRotated(ctx, path, current, q, fn)
	}
	return err
}

func searchRotated(
	ctx context.Context, path string, current *file, q *Query, fn func(Event) bool,
) (goOn bool, err error) {
	f, err := openFile(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	switch {
	case f.info == nil, current.info != nil && os.SameFile(f.info, current.info):
		return true, nil
	case f.info.ModTime().Before(q.Since.Add(-disorder)):
		return false, nil // it was written to the end before then, and so were those before it
	}
	return f.search(ctx, q, fn)
}

// file is one file of the log; one that does not exist (any more) is empty.
type file struct {
	*os.File
	info os.FileInfo // nil when there is none
}

func openFile(path string) (*file, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &file{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("event log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("event log: %w", err), f.Close())
	}
	if !info.Mode().IsRegular() {
		return nil, errors.Join(
			fmt.Errorf("the event log %s is no regular file and cannot be read back", path),
			f.Close())
	}
	return &file{f, info}, nil
}

func (f *file) Close() error {
	if f.File == nil {
		return nil
	}
	return f.File.Close()
}

// search returns false when fn did, or when what comes before is too old.
func (f *file) search(ctx context.Context, q *Query, fn func(Event) bool) (goOn bool, err error) {
	if f.info == nil {
		return true, nil
	}
	for lines := newBackward(f, f.info.Size()); ctx.Err() == nil; {
		line, err := lines.next()
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("event log %s: %w", f.Name(), err)
		}
		at, ok := timeOf(line)
		switch {
		case !ok:
			continue // no event: a line that a crash has torn
		case at.Before(q.Since.Add(-disorder)):
			return false, nil
		case at.Before(q.Since) || !q.wants(line) || !json.Valid(line):
			continue
		}
		if !fn(Event{At: at, ID: string(member(line, idKey)), Line: bytes.Clone(line)}) {
			return false, nil
		}
	}
	return false, ctx.Err()
}

// IsReception reports whether a line of the event log says that a message was accepted.
func IsReception(line []byte) bool { return bytes.HasPrefix(line, reception) }

// IsRefusal reports whether a line of the event log says that something was refused.
func IsRefusal(line []byte) bool { return bytes.HasPrefix(line, rejection) }

func (q *Query) wants(line []byte) bool {
	id, whole := member(line, idKey), IsReception(line)
	switch {
	case len(id) == 0 && !(q.Refusals && IsRefusal(line)):
		return false
	case q.IDs != nil && !q.IDs[string(id)] && !(whole && q.IDs[string(member(line, origIDKey))]):
		return false
	case q.Names != nil && !q.named(line):
		return false
	case q.Sender != "" && !same(q.Sender, member(line, senderKey)):
		return false
	case q.Recipient == "" || whole && (q.IDs != nil || q.Names != nil):
		return true
	}
	return q.isFor(line)
}

// named reports whether the message or the session of a line is meant.
func (q *Query) named(line []byte) bool {
	return q.Names[string(member(line, sessionKey))] ||
		q.Names[string(Bare(member(line, messageIDKey)))]
}

// Bare is a Message-ID without its angle brackets.
func Bare(messageID []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimPrefix(messageID, []byte("<")), []byte(">"))
}

// isFor reports whether a line names the recipient.
func (q *Query) isFor(line []byte) bool {
	if same(q.Recipient, member(line, recipientKey)) {
		return true
	}
	if orig := member(line, origKey); len(orig) > 0 && same(q.Recipient, orig) {
		return true
	}
	for _, one := range list(line, recipientsKey) {
		if strings.EqualFold(q.Recipient, one) {
			return true
		}
	}
	return false
}

func same(want string, have []byte) bool {
	if want == "<>" {
		return len(have) == 0
	}
	return strings.EqualFold(want, string(have))
}
