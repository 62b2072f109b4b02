package archive

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/postroad/postroad/mailbox"
)

// The folders of a Maildir are in one of two layouts, or in a mixture of both:
//
//   - Maildir++: a directory .A.B beside cur is the folder A/B. Our own writer makes these.
//   - Dovecot's LAYOUT=fs: a directory A/B with its own cur is the folder A/B. The inbox is the
//     Maildir itself, or with older versions the directory INBOX in a directory without cur.
//
// IMAP servers write names that are not ASCII in modified UTF-7 (RFC 3501 5.1.3), ours as they are.

type maildirFolder struct{ name, dir string }

// maxFolderDepth bounds how many directories deep folders are searched for.
const maxFolderDepth = 32

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
	r := &MaildirReader{most: MaxMessage}
	itself := IsMaildir(dir)
	if itself {
		r.folders = []maildirFolder{{inbox, dir}}
	}
	r.search(dir, "", entries, 1)
	if !itself && !isLayoutFS(dir, entries) {
		if len(r.folders) > 0 {
			return nil, fmt.Errorf("%s is not a Maildir: it has no directory cur. "+
				"There are Maildirs in it, the first is %s", dir, r.folders[0].dir)
		}
		return nil, fmt.Errorf("%s is not a Maildir: it has no directory cur", dir)
	}
	slices.SortStableFunc(r.folders, func(a, b maildirFolder) int {
		return cmp.Compare(later(a.name), later(b.name))
	})
	return r, nil
}

// later is 0 for the inbox, which is read first.
func later(folder string) int {
	if folder == inbox {
		return 0
	}
	return 1
}

// isLayoutFS tells the root of Dovecot's LAYOUT=fs, if it has no cur of its own, from a home
// directory that has a Maildir somewhere in it, whose inbox would become just some folder.
func isLayoutFS(dir string, entries []os.DirEntry) bool {
	if IsMaildir(filepath.Join(dir, inbox)) {
		return true
	}
	return slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		return e.Name() == "subscriptions" || strings.HasPrefix(e.Name(), "dovecot")
	})
}

// search adds the folders in a directory, which has these entries and is itself the folder above,
// and those below them.
func (r *MaildirReader) search(dir, above string, entries []os.DirEntry, depth int) {
	itself := IsMaildir(dir)
	for _, e := range entries {
		name, path := e.Name(), filepath.Join(dir, e.Name())
		if itself && (name == "cur" || name == "new" || name == "tmp") {
			continue
		}
		folder := folderName(above, name)
		switch {
		case e.Type()&os.ModeSymlink != 0 && IsMaildir(path):
			// A link is not followed down the tree, where it could lead up again or out of what its
			// owner may read. Beside cur links have always been followed.
			if depth == 1 && name[0] == '.' {
				r.folders = append(r.folders, maildirFolder{folder, path})
			} else {
				r.report.add(foundNotFolder, path+" (a symbolic link)")
			}
		case e.IsDir():
			if IsMaildir(path) {
				r.folders = append(r.folders, maildirFolder{folder, path})
			}
			r.descend(path, folder, depth+1)
		}
	}
}

// descend searches a directory below the first.
func (r *MaildirReader) descend(dir, folder string, depth int) {
	entries, err := os.ReadDir(dir)
	if err == nil && depth > maxFolderDepth {
		err = errors.New("too deep")
	}
	if err != nil {
		r.report.add(foundNotFolder, fmt.Sprintf("%s (%v)", dir, err))
		return
	}
	r.search(dir, folder, entries, depth)
}

// folderName returns the name of the folder that a directory is, in the folder above, "" for none.
func folderName(above, directory string) string {
	name := directory
	if rest, ok := strings.CutPrefix(directory, "."); ok {
		name = unescapeFolder(rest)
	} else if plain, ok := fromUTF7(directory); ok {
		name = plain
	}
	switch {
	case above != "":
		return above + mailbox.FolderLevel + name
	case strings.EqualFold(name, inbox):
		return inbox
	}
	return name
}

// escapeFolder is a folder's name with "." between its levels.
func escapeFolder(name string) string {
	levels := strings.Split(name, mailbox.FolderLevel)
	for i, l := range levels {
		levels[i] = escapes.Replace(url.PathEscape(l))
	}
	return strings.Join(levels, ".")
}

// escapes are for "." between levels and for "&" of modified UTF-7.
var escapes = strings.NewReplacer(".", "%2E", "&", "%26")

// unescapeFolder is the reverse of escapeFolder, and reads the names of IMAP servers.
func unescapeFolder(name string) string {
	levels := strings.Split(name, ".")
	for i, l := range levels {
		if plain, ok := fromUTF7(l); ok && strings.Contains(l, "&") {
			levels[i] = plain
		} else if plain, err := url.PathUnescape(l); err == nil {
			levels[i] = plain
		}
	}
	return strings.Join(levels, mailbox.FolderLevel)
}

// base64UTF7 has "," for "/" and no padding (RFC 3501 5.1.3).
var base64UTF7 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZ" +
	"abcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding).Strict()

// fromUTF7 decodes a name in modified UTF-7 (RFC 3501 5.1.3). What is not, with raw octets beyond
// ASCII or with a shift that does not end, is not ok and means itself.
func fromUTF7(name string) (plain string, ok bool) {
	for i := range len(name) {
		if name[i] < ' ' || name[i] > '~' {
			return "", false
		}
	}
	for {
		text, rest, shift := strings.Cut(name, "&")
		plain += text
		if !shift {
			return plain, true
		}
		coded, after, ends := strings.Cut(rest, "-")
		if !ends {
			return "", false
		}
		if coded == "" {
			plain += "&"
		} else if s, ok := shifted(coded); ok {
			plain += s
		} else {
			return "", false
		}
		name = after
	}
}

// shifted decodes what is between "&" and "-": UTF-16 in base64. Printable ASCII represents itself
// and is not coded (RFC 3501 5.1.3), so no "/" can come from here; control characters are not for
// names.
func shifted(coded string) (plain string, ok bool) {
	octets, err := base64UTF7.DecodeString(coded)
	if err != nil || len(octets)%2 != 0 {
		return "", false
	}
	units := make([]uint16, len(octets)/2)
	for i := range units {
		units[i] = uint16(octets[2*i])<<8 | uint16(octets[2*i+1])
	}
	for _, c := range utf16.Decode(units) {
		if c <= 0x7f || c == utf8.RuneError {
			return "", false
		}
		plain += string(c)
	}
	return plain, true
}
