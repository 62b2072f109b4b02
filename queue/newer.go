//go:build pretend_newer

package queue

// This build pretends to be newer than it is: it knows one command more, cmdNote, which writes a
// row of a kind that others do not know. It shows that versions can run side by side
// (cluster/DESIGN.md).

const (
	cmdNote       = cmdEnd
	newestCommand = cmdEnd + 1
)

// newer has what cmdNote has.
type newer struct{ note []byte }

var noteKey = []byte{'N'}

func (c *command) decodeNewer(d *decoder) bool {
	if c.kind != cmdNote {
		return false
	}
	c.newer.note = d.Bytes()
	return true
}

func (m *machine) applyNewer() any {
	m.w.Set(noteKey, append([]byte{formatVersion}, m.cmd.newer.note...))
	return nil
}
