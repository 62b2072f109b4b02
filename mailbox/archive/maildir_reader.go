package archive

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MaildirReader reads a Maildir, ours or another program's: the inbox first, then the folders by
// their names; each by the time in the files' names.
type MaildirReader struct {
	// OnFolder hears of each folder before its messages; nil: nobody does.
	OnFolder func(name string) error
	folders  []maildirFolder
	name     string
	files    []maildirFile
	most     int64 // octets of a message
	report   Report
}

type maildirFile struct {
	path string
	ours bool
	time int64 // microseconds
	turn int64
}

// Report tells what was left out, or refused, so far.
func (r *MaildirReader) Report() *Report { return &r.report }

// Next implements Reader.
func (r *MaildirReader) Next() (*Message, error) {
	for {
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
		if m, err := r.read(f); m != nil || err != nil {
			return m, err
		}
	}
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
			path := filepath.Join(f.dir, d, e.Name())
			switch {
			case strings.HasPrefix(e.Name(), "."): // no message (maildir(5))
			case !e.Type().IsRegular():
				// A link may name a file that its owner could not read, and the importer can.
				r.report.add(foundNotFile, path)
			default:
				us, turn := maildirTime(e.Name())
				ours := strings.Contains(e.Name(), rawMark)
				r.files = append(r.files, maildirFile{path, ours, us, turn})
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

// read returns the message of a file, or nil when the file is refused.
func (r *MaildirReader) read(f maildirFile) (*Message, error) {
	info, err := os.Stat(f.path)
	if err == nil && info.Size() > r.most {
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
		return m, nil
	}
	content, ok := r.unpacked(f.path, m.Content)
	if !ok {
		return nil, nil
	}
	m.Date, m.Content = info.ModTime(), toCRLF(content)
	return m, nil
}

// unpacked returns the message in a file of another program. A file that cannot be unpacked is
// refused and not ok: compressed octets are no mail.
func (r *MaildirReader) unpacked(path string, content []byte) (plain []byte, ok bool) {
	c := compressionOf(content)
	if c == nil {
		return content, true
	}
	if c.open == nil {
		r.report.add(c.found, path)
		return nil, false
	}
	plain, err := c.unpack(content, r.most)
	if err == nil && compressionOf(plain) != nil {
		err = errors.New("compressed more than once")
	}
	if err != nil {
		r.report.add(foundDamaged, fmt.Sprintf("%s (%s: %v)", path, c.name, err))
		return nil, false
	}
	return plain, true
}
