package machine

import (
	"slices"

	"github.com/postroad/postroad/internal/mail"
)

// Stake is what commands of a log that are not in the group's any more had brought, and not ended:
// what is at stake when they are given up.
type Stake struct {
	messages map[mail.ID]*AtStake
	order    []mail.ID
	Others   int // commands about messages that the group has otherwise
}

// AtStake is a message that only these commands know.
type AtStake struct {
	ID         mail.ID
	Sender     string
	Recipients int
	Open       int  // recipients whose fate was not final
	Held       bool // one of them was held
	final      map[uint32]bool
}

// Add takes the next command.
func (s *Stake) Add(data []byte) error {
	var c Command
	if err := c.Decode(data); err != nil {
		return err
	}
	switch c.Kind {
	case CmdAccept:
		for i := range c.Accept {
			if err := s.accepted(&c.Accept[i]); err != nil {
				return err
			}
		}
	case CmdSettle:
		for i := range c.outcomes {
			o := &c.outcomes[i]
			s.change(o.id, o.number, o.state)
		}
	case CmdOperator:
		for _, r := range c.refs {
			s.change(
				r.ID,
				r.Number,
				map[Verb]State{
					VerbHold: Held, VerbRelease: Ready, VerbFlush: Ready,
					VerbFail: Failed, VerbRemove: Removed,
				}[c.verb],
			)
		}
	}
	return nil
}

func (s *Stake) accepted(e *AcceptEntry) error {
	var v EnvelopeView
	if err := v.Decode(e.Envelope); err != nil {
		return err
	}
	if s.messages == nil {
		s.messages = map[mail.ID]*AtStake{}
	}
	if s.messages[e.ID] != nil {
		return nil // the command was repeated
	}
	n := len(v.Recipients)
	s.messages[e.ID] = &AtStake{
		ID:         e.ID,
		Sender:     string(v.Sender),
		Recipients: n,
		Open:       n,
		final:      map[uint32]bool{},
	}
	s.order = append(s.order, e.ID)
	return nil
}

func (s *Stake) change(id mail.ID, number uint32, to State) {
	m := s.messages[id]
	switch {
	case m == nil:
		s.Others++
	case m.final[number]:
	case to.Final():
		m.final[number] = true
		m.Open--
	default:
		m.Held = to == Held
	}
}

// Messages are those at stake, in the order in which they were accepted.
func (s *Stake) Messages() (all []*AtStake) {
	for _, id := range s.order {
		if m := s.messages[id]; m.Open > 0 {
			all = append(all, m)
		}
	}
	return slices.Clip(all)
}
