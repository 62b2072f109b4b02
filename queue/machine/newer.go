//go:build pretend_newer

package machine

// This build pretends to be newer than it is: it knows one command more, CmdNote, which writes a
// row of a kind that others do not know. It shows that versions can run side by side
// (cluster/DESIGN.md).

// CmdNote writes a note, and is the newest command that this build knows.
const (
	CmdNote       = cmdEnd
	NewestCommand = cmdEnd + 1
)

// newer has what CmdNote has.
type newer struct{ note []byte }

// NoteKey is where the note is.
var NoteKey = []byte{'N'}

func (c *Command) decodeNewer(d *Decoder) bool {
	if c.Kind != CmdNote {
		return false
	}
	c.newer.note = d.Bytes()
	return true
}

func (m *Machine) applyNewer() any {
	m.w.Set(NoteKey, append([]byte{FormatVersion}, m.cmd.newer.note...))
	return nil
}
