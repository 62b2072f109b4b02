package archive

import (
	"fmt"
	"strings"
)

// Report has what a reader left out of an archive, what it refused and what it was in doubt of. It
// is for the person who imports, and complete once Next has returned io.EOF.
type Report struct {
	found [findings]struct {
		count  int64
		places []string // of the first ones
	}
}

// maxPlaces bounds the places that a report names of each finding; it counts the others.
const maxPlaces = 10

// finding is one kind of what a report tells.
type finding uint8

const (
	foundGlued finding = iota
	foundDateless
	foundDeleted
	foundInternal
	foundXZ
	foundLZ4
	foundDovecotLZ4
	foundDamaged
	foundNotFile
	foundNotFolder
	findings // how many there are
)

// findingTexts say what a finding is, after a number and the noun.
var findingTexts = [findings]struct {
	noun, text string
	refused    bool // mail that the archive has was not imported
}{
	foundGlued: {"message", "with no empty line before the \"From \" line, imported as separate " +
		"messages: the file may be damaged there", false},
	foundDateless: {"line", "beginning with \"From \" and without a date, kept as text although " +
		"header fields follow: look whether a message begins there", false},
	foundDeleted: {"message", "left out: deleted in Thunderbird or Mozilla (X-Mozilla-Status)",
		false},
	foundInternal: {"message", "left out: internal data of UW-IMAP or a c-client program", false},
	foundXZ: {"file", "refused: compressed with xz, to be unpacked with `xz -dc <FILE >NEW`",
		true},
	foundLZ4: {"file", "refused: compressed with lz4, to be unpacked with `lz4 -dc FILE >NEW`",
		true},
	foundDovecotLZ4: {"file", "refused: compressed with lz4 in Dovecot's own format, to be " +
		"unpacked by Dovecot: copy the mailbox with `doveadm backup` and compression off", true},
	foundDamaged: {"file", "refused: compressed and cannot be unpacked", true},
	foundNotFile: {"entry", "of a directory cur or new left out: not a regular file", false},
	foundNotFolder: {"directory", "left out: neither read nor searched for folders",
		false},
}

func (r *Report) add(f finding, place string) {
	found := &r.found[f]
	if found.count++; place != "" && len(found.places) < maxPlaces {
		found.places = append(found.places, place)
	}
}

// Refused is the number of files with mail that could not be read.
func (r *Report) Refused() (n int64) {
	for f := range findings {
		if findingTexts[f].refused {
			n += r.found[f].count
		}
	}
	return n
}

// Lines tells all findings in words, a line for each kind, with its number and its first places.
func (r *Report) Lines() (lines []string) {
	for f := range findings {
		found, text := &r.found[f], &findingTexts[f]
		if found.count == 0 {
			continue
		}
		line := fmt.Sprintf("%d %s %s", found.count, plural(text.noun, found.count), text.text)
		if len(found.places) > 0 {
			line += ": " + strings.Join(found.places, ", ")
		}
		if more := found.count - int64(len(found.places)); more > 0 && len(found.places) > 0 {
			line += fmt.Sprintf(" and %d more", more)
		}
		lines = append(lines, line)
	}
	return lines
}

// plural returns the noun for a number.
func plural(noun string, n int64) string {
	stem, y := strings.CutSuffix(noun, "y")
	switch {
	case n == 1:
		return noun
	case y:
		return stem + "ies"
	}
	return noun + "s"
}
