package archive

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postroad/postroad/mailbox"
)

// A Maildir has a file for each message, whose name ends with its flags. Other folders than the
// inbox are directories .A.B in it (Maildir++); what of their names a file's name cannot have is
// written as %XX. Our files have ",E=raw" in their names: they are the octets of the message as it
// is. Those of other programs mostly have LF at the end of lines.

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

// escapeFolder is a folder's name with "." between its levels.
func escapeFolder(name string) string {
	levels := strings.Split(name, mailbox.FolderLevel)
	for i, l := range levels {
		levels[i] = strings.ReplaceAll(url.PathEscape(l), ".", "%2E")
	}
	return strings.Join(levels, ".")
}

func unescapeFolder(name string) string {
	levels := strings.Split(name, ".")
	for i, l := range levels {
		if plain, err := url.PathUnescape(l); err == nil {
			levels[i] = plain
		}
	}
	return strings.Join(levels, mailbox.FolderLevel)
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

// MaildirReader reads a Maildir, ours or another program's: the inbox first, then the folders by
// their names; each by the time in the files' names.
type MaildirReader struct {
	// OnFolder hears of each folder before its messages; nil: nobody does.
	OnFolder func(name string) error
	folders  []maildirFolder
	name     string
	files    []maildirFile
}

type maildirFolder struct{ name, dir string }

type maildirFile struct {
	path string
	ours bool
	time int64 // microseconds
	turn int64
}

// IsMaildir reports whether a path is that of a Maildir.
func IsMaildir(path string) bool {
	info, err := os.Stat(filepath.Join(path, "cur"))
	return err == nil && info.IsDir()
}

// NewMaildirReader reads which folders there are.
func NewMaildirReader(dir string) (*MaildirReader, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	if !IsMaildir(dir) {
		return nil, fmt.Errorf("%s is not a Maildir: it has no directory cur", dir)
	}
	r := &MaildirReader{folders: []maildirFolder{{inbox, dir}}}
	for _, e := range entries {
		if name, ok := strings.CutPrefix(e.Name(), "."); ok && name != "" &&
			IsMaildir(filepath.Join(dir, e.Name())) {
			r.folders = append(
				r.folders,
				maildirFolder{unescapeFolder(name), filepath.Join(dir, e.Name())},
			)
		}
	}
	return r, nil
}

// Next implements Reader.
func (r *MaildirReader) Next() (*Message, error) {
	for len(r.files) == 0 {
		if len(r.folders) == 0 {
			return nil, io.EOF
		}
		if err := r.enter(r.folders[0]); err != nil {
			return nil, err
		}
		r.folders = r.folders[1:]
	}
	f := r.files[0]
	r.files = r.files[1:]
	return r.read(f)
}

func (r *MaildirReader) enter(f maildirFolder) error {
	r.name = f.name
	if r.OnFolder != nil {
		if err := r.OnFolder(f.name); err != nil {
			return err
		}
	}
	for _, d := range []string{"cur", "new"} {
		entries, err := os.ReadDir(filepath.Join(f.dir, d))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, e := range entries {
			if e.Type().IsRegular() && !strings.HasPrefix(e.Name(), ".") {
				us, turn := maildirTime(e.Name())
				r.files = append(
					r.files,
					maildirFile{
						filepath.Join(f.dir, d, e.Name()),
						strings.Contains(e.Name(), rawMark),
						us,
						turn,
					},
				)
			}
		}
	}
	slices.SortFunc(r.files, func(a, b maildirFile) int {
		if a.ours && b.ours { // in the order in which they were written
			return cmp.Compare(a.turn, b.turn)
		}
		return cmp.Or(cmp.Compare(a.time, b.time), strings.Compare(a.path, b.path))
	})
	return nil
}

// maildirTime reads the time at the beginning of a file's name, and which of ours it is.
func maildirTime(name string) (us, turn int64) {
	parts := strings.SplitN(name, ".", 3)
	seconds, _ := strconv.ParseInt(parts[0], 10, 64)
	if len(parts) > 1 {
		rest := parts[1]
		if m := strings.IndexByte(rest, 'M'); m >= 0 {
			us = leadingNumber(rest[m+1:])
		}
		if q := strings.IndexByte(rest, 'Q'); q >= 0 {
			turn = leadingNumber(rest[q+1:])
		}
	}
	return seconds*1e6 + us, turn
}

func leadingNumber(s string) int64 {
	n := 0
	for n < len(s) && n < 18 && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	v, _ := strconv.ParseInt(s[:n], 10, 64)
	return v
}

func (r *MaildirReader) read(f maildirFile) (*Message, error) {
	info, err := os.Stat(f.path)
	if err == nil && info.Size() > MaxMessage {
		err = errTooLarge
	}
	m := &Message{Folder: r.name}
	if err == nil {
		m.Content, err = os.ReadFile(f.path)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	_, set, _ := strings.Cut(filepath.Base(f.path), flagMark)
	m.Flags = maildirFlags.flags(set)
	if f.ours {
		m.Date = time.UnixMicro(f.time)
	} else {
		m.Date, m.Content = info.ModTime(), toCRLF(m.Content)
	}
	return m, nil
}
