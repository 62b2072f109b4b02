package directory

import (
	"fmt"
	"strings"

	"github.com/postroad/postroad/internal/rows"
)

// An import is staged: its users lie in the store under the name of the stage, where nobody sees
// them, until they are published. Both go by batches, so that no command is large, however many
// users there are. A batch of a publication names the users it moves; what stays behind is what
// somebody made meanwhile.

// Bounds of one command. A user is rarely more than 500 octets.
const (
	maxBatch   = 250
	batchBytes = 256 << 10
)

// stageCommand is about one stage: what to stage, or the names of what to publish or to drop.
type stageCommand struct {
	Stage string   `json:"stage"`
	Users []staged `json:"users,omitempty"`
	Names []string `json:"names,omitempty"`
}

// staged is one user of a stage.
type staged struct {
	User    *User `json:"user"`
	Replace bool  `json:"replace,omitempty"` // a user of that name who is there
}

var keyStaged = []byte("ns") // the number of staged users

func stageKey(stage, name string) []byte { return []byte("s" + stage + "\x00" + name) }

// Batch is what Apply returns for a batch of staged users: how many it moved or dropped, and how
// many it kept where they are. What else was named had gone before.
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

func (d *Directory) applyStage(w rows.Writer, c *stageCommand) Result {
	n := count(w, keyStaged)
	for _, s := range c.Users {
		if s.User == nil {
			continue
		}
		key := stageKey(c.Stage, s.User.Name)
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

// applyPublish moves staged users to the users. One whose name is taken stays where it is.
func (d *Directory) applyPublish(w rows.Writer, index uint64, c *stageCommand) (b Batch) {
	t := d.tables[users]
	for _, name := range c.Names {
		row, ok := w.Get(stageKey(c.Stage, name))
		if !ok {
			continue // published before
		}
		var s staged
		if err := decodeRecord(row, &s); err != nil || s.User == nil {
			panic(fmt.Sprintf("directory: entry %d: staged user %q cannot be read: %v", index, name, err))
		}
		r := d.applyPut(w, index, t, s.User, true)
		if r == Exists && s.Replace {
			r = d.applyPut(w, index, t, s.User, false)
		}
		switch r {
		case Done:
			d.dropStaged(w, c.Stage, name)
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

func (d *Directory) applyUnstage(w rows.Writer, c *stageCommand) (b Batch) {
	for _, name := range c.Names {
		if _, ok := w.Get(stageKey(c.Stage, name)); ok {
			d.dropStaged(w, c.Stage, name)
			b.Moved++
		}
	}
	return b
}

func (d *Directory) dropStaged(w rows.Writer, stage, name string) {
	w.Delete(stageKey(stage, name))
	setCount(w, keyStaged, count(w, keyStaged)-1)
}

// Stage is what a listing says of one.
type Stage struct {
	Name  string
	Users int
}

// Stages lists the stages.
func (d *Directory) Stages() (all []Stage, err error) {
	r := d.rows()
	if r == nil {
		return nil, nil
	}
	err = r.Scan([]byte("s"), []byte{'s' + 1}, func(k, _ []byte) bool {
		stage, _, _ := strings.Cut(string(k[1:]), "\x00")
		if len(all) == 0 || all[len(all)-1].Name != stage {
			all = append(all, Stage{Name: stage})
		}
		all[len(all)-1].Users++
		return true
	})
	return all, err
}

// staged returns up to maxBatch names of a stage above after.
func (d *Directory) staged(stage, after string) (names []string, err error) {
	r := d.rows()
	if r == nil {
		return nil, nil
	}
	return namesAbove(r, stageKey(stage, ""), after, maxBatch)
}
