package node

import (
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/rows"
)

// controlMachine is two state machines in one group. The first octet of a command says whose it is,
// and their rows have keys of their own.
type controlMachine struct {
	control *control.State
	users   *directory.Directory
}

// Understands returns why this program cannot apply a command (cluster.Versioned).
func (m controlMachine) Understands(data []byte) error {
	if len(data) > 0 && data[0] == control.CommandVersion {
		return m.control.Understands(data, protocol)
	}
	return directory.Understands(data)
}

// Apply applies a command of either machine.
func (m controlMachine) Apply(w rows.ContentWriter, index, term uint64, data []byte, parts [][]byte) any {
	if len(data) > 0 && data[0] == control.CommandVersion {
		return m.control.Apply(w, index, term, data, parts)
	}
	return m.users.Apply(w, index, term, data, parts)
}

// Committed says that the rows are in the store.
func (m controlMachine) Committed() {
	m.control.Committed()
	m.users.Committed()
}

// Restored says that the rows were replaced.
func (m controlMachine) Restored() {
	m.control.Restored()
	m.users.Restored()
}

// AppendResult appends an answer that crosses the network. A directory's is one octet or two, and
// no answer of the control state is that short.
func (controlMachine) AppendResult(b []byte, result any) []byte {
	if b, ok := directory.AppendResult(b, result); ok {
		return b
	}
	return control.AppendResult(b, result)
}

// ParseResult reads what AppendResult made.
func (controlMachine) ParseResult(b []byte) (any, error) {
	if result, ok := directory.ParseResult(b); ok {
		return result, nil
	}
	return control.ParseResult(b)
}
