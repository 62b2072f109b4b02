// Package controlgroup is what the control group of a cluster is made of: its state machine, how a
// new one learns whose it is, and its backup.
package controlgroup

import (
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/rows"
)

// Machine is two state machines in one group. The first octet of a command says whose it is,
// and their rows have keys of their own.
type Machine struct {
	Control *control.State       // members, groups and settings
	Users   *directory.Directory // users, domains and aliases
}

// Understands returns why this program cannot apply a command (cluster.Versioned).
func (m Machine) Understands(data []byte) error {
	if len(data) > 0 && data[0] == control.CommandVersion {
		return m.Control.Understands(data, control.Protocol)
	}
	return directory.Understands(data)
}

// Apply applies a command of either machine.
func (m Machine) Apply(
	w rows.ContentWriter,
	index, term uint64,
	data []byte,
	parts [][]byte,
) any {
	if len(data) > 0 && data[0] == control.CommandVersion {
		return m.Control.Apply(w, index, term, data, parts)
	}
	return m.Users.Apply(w, index, term, data, parts)
}

// Committed says that the rows are in the store.
func (m Machine) Committed() {
	m.Control.Committed()
	m.Users.Committed()
}

// Restored says that the rows were replaced.
func (m Machine) Restored() {
	m.Control.Restored()
	m.Users.Restored()
}

// AppendResult appends an answer that crosses the network. A directory's is one octet or two, and
// no answer of the control state is that short.
func (Machine) AppendResult(b []byte, result any) []byte {
	if b, ok := directory.AppendResult(b, result); ok {
		return b
	}
	return control.AppendResult(b, result)
}

// ParseResult reads what AppendResult made.
func (Machine) ParseResult(b []byte) (any, error) {
	if result, ok := directory.ParseResult(b); ok {
		return result, nil
	}
	return control.ParseResult(b)
}
