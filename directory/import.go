package directory

import (
	"fmt"
	"strings"

	"github.com/postroad/postroad/internal/rows"
)

// An import is staged: its users lie in the store under the name of the import, where nobody sees
// them, until they are committed. Both go by batches, so that no command is large, however many
// users there are. A batch of a publication names the users it moves; what stays behind is what
// somebody made meanwhile.

// Bounds of one command. A user is rarely more than 500 octets.
const (
	maxBatch   = 250
	batchBytes = 256 << 10
)

// importCommand is about one import: what to stage, or the names of what to commit or to drop.
type importCommand struct {
	Import string   `json:"stage"`
	Users  []staged `json:"users,omitempty"`
	Names  []string `json:"names,omitempty"`
}

// staged is one user of an import.
type staged struct {
	User    *User `json:"user"`
	Replace bool  `json:"replace,omitempty"` // a user of that name who is there
}

var keyStaged = []byte("ns") // the number of staged users

func importKey(set, name string) []byte { return []byte("s" + set + "\x00" + name) }

// Batch is what Apply returns for a batch of staged users: how many it moved or dropped, and how
// many it kept where they are. Other names had gone before.
type Batch struct {
	Moved, Kept uint8
	Full        bool // there was no place for the others
}

// Err returns the refusal that a batch ended with.
func (b Batch) Err() error {
	if b.Full {
		return ErrFull
	}
	return nil
}

func (d *Directory) applyImport(w rows.Writer, c *importCommand) Result {
	n := count(w, keyStaged)
	for _, s := range c.Users {
		if s.User == nil {
			continue
		}
		key := importKey(c.Import, s.User.Name)
		if _, known := w.Get(key); !known {
			if n >= d.tables[users].limit {
				return Full
			}
			n++
			setCount(w, keyStaged, n)
		}
		w.Set(key, encodeRecord(s))
	}
	return Done
}

// applyCommit moves staged users to the users. One whose name is taken stays where it is.
func (d *Directory) applyCommit(w rows.Writer, index uint64, c *importCommand) (b Batch) {
	t := d.tables[users]
	for _, name := range c.Names {
		row, ok := w.Get(importKey(c.Import, name))
		if !ok {
			continue // committed before
		}
		var s staged
		if err := decodeRecord(row, &s); err != nil || s.User == nil {
			panic(
				fmt.Sprintf(
					"directory: entry %d: staged user %q cannot be read: %v",
					index,
					name,
					err,
				),
			)
		}
		r := d.applyPut(w, index, t, s.User, true)
		if r == Exists && s.Replace {
			r = d.applyPut(w, index, t, s.User, false)
		}
		switch r {
		case Done:
			d.dropStaged(w, c.Import, name)
			b.Moved++
		case Full:
			b.Full = true
			return b
		default:
			b.Kept++
		}
	}
	return b
}

func (d *Directory) applyDiscard(w rows.Writer, c *importCommand) (b Batch) {
	for _, name := range c.Names {
		if _, ok := w.Get(importKey(c.Import, name)); ok {
			d.dropStaged(w, c.Import, name)
			b.Moved++
		}
	}
	return b
}

func (d *Directory) dropStaged(w rows.Writer, set, name string) {
	w.Delete(importKey(set, name))
	setCount(w, keyStaged, count(w, keyStaged)-1)
}

// Import is what a listing says of one.
type Import struct {
	Name  string
	Users int
}

// Imports lists the imports.
func (d *Directory) Imports() (all []Import, err error) {
	r := d.rows()
	if r == nil {
		return nil, nil
	}
	err = r.Scan([]byte("s"), []byte{'s' + 1}, func(k, _ []byte) bool {
		set, _, _ := strings.Cut(string(k[1:]), "\x00")
		if len(all) == 0 || all[len(all)-1].Name != set {
			all = append(all, Import{Name: set})
		}
		all[len(all)-1].Users++
		return true
	})
	return all, err
}

// staged returns up to maxBatch names of an import above after.
func (d *Directory) staged(set, after string) (names []string, err error) {
	r := d.rows()
	if r == nil {
		return nil, nil
	}
	return namesAbove(r, importKey(set, ""), after, maxBatch)
}
