package control

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/postroad/postroad/internal/rows"
)

// Pushed is a version of the configuration that all nodes share. What its text means is the
// callers' business. A plain value.
type Pushed struct {
	Version uint64    `json:"version"` // 1 or more; each push has the next one
	Text    string    `json:"text"`
	Who     string    `json:"who,omitempty"`
	Note    string    `json:"note,omitempty"`
	At      time.Time `json:"at"`
}

// Bounds of the pushed configuration. A text is one entry of the log, as JSON at most six times as
// long, and all versions that are kept are in memory on every member.
const (
	MaxPushed     = 20 // versions that are kept
	MaxPushedText = 256 << 10
	maxPushedWho  = 128
	MaxPushedNote = 200
)

// PushProtocol is the first protocol that knows pushed configurations.
const PushProtocol = 5

// Pushed returns the last versions, the oldest first. The slice is read-only.
func (s *State) Pushed() []Pushed { return s.view.Load().pushed }

// LastPushed returns the version that is to be in force; false: none was pushed yet.
func (s *State) LastPushed() (p Pushed, ok bool) { return s.view.Load().lastPushed() }

func (m *model) lastPushed() (p Pushed, ok bool) {
	if len(m.pushed) == 0 {
		return p, false
	}
	return m.pushed[len(m.pushed)-1], true
}

// Push makes p the version in force. Its number is the one after that which the caller has seen;
// ErrStale: there is another one by now. Where none was pushed yet it may be any, as of a backup.
func (e *Editor) Push(ctx context.Context, p Pushed) error {
	if err := p.check(); err != nil {
		return err
	}
	if err := e.State.Needs(PushProtocol, "a pushed configuration"); err != nil {
		return err
	}
	if p.At.IsZero() {
		p.At = e.Now().UTC()
	}
	return e.simple(ctx, cmdPush, command{Pushed: &p})
}

// PushedOf returns the version that a row of a backup has; false: it is another row.
func PushedOf(key, value []byte) (p Pushed, ok bool) {
	if len(key) != len(pushedKey(0)) || string(key[:2]) != "cv" || decodeRecord(value, &p) != nil {
		return Pushed{}, false
	}
	return p, p.check() == nil
}

func (p *Pushed) check() error {
	switch {
	case p.Version == 0 || p.Text == "":
		return fmt.Errorf("a pushed configuration has a version and a text")
	case len(p.Text) > MaxPushedText:
		return fmt.Errorf("a pushed configuration has at most %d octets", MaxPushedText)
	case len(p.Who) > maxPushedWho || len(p.Note) > MaxPushedNote:
		return fmt.Errorf("a note has at most %d octets, and a name %d", MaxPushedNote,
			maxPushedWho)
	}
	return nil
}

// same reports whether a push is the repetition of one whose outcome was not known.
func (p *Pushed) same(o *Pushed) bool {
	return p.Version == o.Version && p.Text == o.Text && p.Who == o.Who && p.Note == o.Note
}

func (d *draft) push(c *command) Result {
	p := c.Pushed
	last, ok := d.lastPushed()
	switch {
	case ok && last.same(p):
		return Result{}
	case ok && p.Version != last.Version+1:
		return refuse(Stale, "version %d of the configuration is in force by now: look at it "+
			"(`postroad config diff`), and push again", last.Version)
	}
	all := append(slices.Clone(d.model.pushed), *p) // the state before has them, too
	for ; len(all) > MaxPushed; all = all[1:] {
		d.dropped = append(d.dropped, all[0].Version)
	}
	d.model.pushed, d.pushed = all, true
	d.counts.Pushed, d.counts.PushedKept = p.Version, len(all)
	return Result{Index: p.Version}
}

// writePushed writes the newest version and deletes those that are too old.
func (d *draft) writePushed(w rows.Writer) {
	if p, ok := d.lastPushed(); ok && d.pushed {
		w.Set(pushedKey(p.Version), encodeRecord(p))
	}
	for _, version := range d.dropped {
		w.Delete(pushedKey(version))
	}
}

func pushedKey(version uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte("cv"), version)
}

// loadPushed reads the versions.
func (m *model) loadPushed(read func(key []byte, v any) error) error {
	kept := m.counts.PushedKept
	if kept < 0 || kept > MaxPushed || uint64(kept) > m.counts.Pushed {
		return fmt.Errorf("row %q: %d versions of the configuration are more than there can be",
			keyCounts, kept)
	}
	for i := range kept {
		var p Pushed
		version := m.counts.Pushed - uint64(kept-1-i)
		if err := read(pushedKey(version), &p); err != nil {
			return err
		}
		if p.Version != version {
			return fmt.Errorf("the row of version %d of the configuration is that of %d", version,
				p.Version)
		}
		m.pushed = append(m.pushed, p)
	}
	return nil
}
