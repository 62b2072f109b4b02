package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/postroad/postroad/mailbox"
)

// A Maildir has a file for each message, whose name ends with its flags. Other folders than the
// inbox are directories .A.B in it (Maildir++); what of their names a file's name cannot have is
// written as %XX. Our files have ",E=raw" in their names: they are the octets of the message as it
// is. Those of other programs mostly have LF at the end of lines, and may be compressed. Which
// folders other programs have is in maildir_folders.go.

const (
	rawMark  = ",E=raw"
	flagMark = ":2,"
)

// MaildirWriter writes a Maildir.
type MaildirWriter struct {
	dir  string
	made map[string]string // directories, by folder
	n    int64
}

// NewMaildirWriter makes a Maildir in a directory that is empty or not there.
func NewMaildirWriter(dir string) (*MaildirWriter, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("%s is not empty", dir)
	}
	w := &MaildirWriter{dir: dir, made: map[string]string{}}
	return w, w.Folder(inbox)
}

// Folder implements Writer.
func (w *MaildirWriter) Folder(name string) error {
	if w.made[name] != "" {
		return nil
	}
	dir := w.dir
	if !strings.EqualFold(name, inbox) {
		dir = filepath.Join(dir, "."+escapeFolder(name))
	}
	for _, d := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return err
		}
	}
	if dir != w.dir {
		if err := os.WriteFile(filepath.Join(dir, "maildirfolder"), nil, 0o600); err != nil {
			return err
		}
	}
	w.made[name] = dir
	return nil
}

// Write implements Writer. The file is made in tmp and then gets its place, as in any Maildir.
func (w *MaildirWriter) Write(m *Message) error {
	if err := w.Folder(m.Folder); err != nil {
		return err
	}
	dir := w.made[m.Folder]
	w.n++
	ms := max(m.Date.UnixMilli(), 0)
	name := fmt.Sprintf(
		"%d.M%dQ%d.postroad,S=%d%s%s%s",
		ms/1000,
		ms%1000*1000,
		w.n,
		len(m.Content),
		rawMark,
		flagMark,
		maildirFlags.text(m.Flags),
	)
	tmp := filepath.Join(dir, "tmp", name)
	if err := os.WriteFile(tmp, m.Content, 0o600); err != nil {
		return err
	}
	return errors.Join(
		os.Chtimes(tmp, m.Date, m.Date),
		os.Rename(tmp, filepath.Join(dir, "cur", name)),
	)
}

// maildirFlags are in the order of their letters, as the format wants it.
var maildirFlags = letters{
	{'D', mailbox.Draft},
	{'F', mailbox.Flagged},
	{'R', mailbox.Answered},
	{'S', mailbox.Seen},
	{'T', mailbox.Deleted},
}

// Close implements Writer.
func (w *MaildirWriter) Close() error { return nil }
