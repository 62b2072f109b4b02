//go:build pretend_newer

package control

import "context"

// This build pretends to be newer than it is: it knows one command more, cmdNote, and one field of
// the cluster's row. It shows that versions can run side by side (DESIGN.md).

// pretended is by how much this build pretends to be newer.
const pretended = 1

const (
	cmdNote       = cmdEnd
	newestCommand = cmdEnd + 1
)

type newer struct {
	Note string `json:"note,omitempty"`
}

func init() { handlers[cmdNote] = (*draft).note }

// note keeps a text, which travels in a field that every command has.
func (d *draft) note(c *command) Result {
	if c.Token == nil {
		return refuse(Refused, "the text is missing")
	}
	d.model.cluster.Note, d.cluster = c.Token.Secret, true
	return Result{}
}

// Note leaves a text in the state, when all members understand that protocol.
func (e *Editor) Note(ctx context.Context, protocol int, text string) error {
	if err := e.State.Needs(protocol, "a note"); err != nil {
		return err
	}
	return e.simple(ctx, cmdNote, command{Token: &Token{Secret: text}})
}

// Noted returns the text that was left last, as far as this member has applied.
func (s *State) Noted() string { return s.view.Load().cluster.Note }
