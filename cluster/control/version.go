package control

import (
	"fmt"
	"strings"
)

// This file is the rule of rolling upgrades (cluster/DESIGN.md). Every member says which protocol
// it understands: a number that a build raises when it has a new command, or a new meaning of one.
// The cluster speaks what all understand, and that never falls.

// Protocol is the newest version of commands and requests that this build understands
// (cluster/DESIGN.md). 2: suspensions. 3: mailboxes. 4: handing mail over. 5: pushed
// configurations. 6: keys of members. 7: tokens as what they are checked by. 8: the cluster's key
// for secrets, and keys that sign mail.
const Protocol = SecretsProtocol + pretended

// MinProtocol is the newest protocol that all members understand. It never falls: who understands
// less may not join, and is not to start. A command or request of a newer protocol is sent only
// once it is reached.
func (s *State) MinProtocol() int { return s.view.Load().counts.Protocol }

// Needs refuses what takes a newer protocol than all members understand, and names those that are
// to be upgraded before. Whoever proposes a command that is new in a protocol asks it first.
func (s *State) Needs(protocol int, what string) error {
	m := s.view.Load()
	if m.counts.Protocol >= protocol {
		return nil
	}
	var old []string
	for i := range m.members {
		if c := &m.members[i]; c.State != Removed && c.Protocol < protocol {
			old = append(old, fmt.Sprintf("%s (version %s)", c.Name, c.Version))
		}
	}
	return refuse(Refused,
		"%s needs protocol %d of every node, and the cluster speaks %d: upgrade %s first", what,
		protocol, m.counts.Protocol, strings.Join(old, ", ")).Err()
}

// TooOld says why a program that understands only that protocol must not take part, or returns nil.
func (s *State) TooOld(protocol int) error { return s.view.Load().tooOld(protocol) }

// Understands returns why a program of that protocol cannot apply a command. Called on the apply
// goroutine: the command that raised what the cluster speaks may be the one before, and what
// follows it may mean something else than this program thinks.
func (s *State) Understands(data []byte, protocol int) error {
	m := s.applied
	if m == nil {
		m = s.view.Load()
	}
	if err := m.tooOld(protocol); err != nil {
		return err
	}
	return known(data)
}

func (m *model) tooOld(protocol int) error {
	if m.counts.Protocol <= protocol {
		return nil
	}
	return fmt.Errorf(
		"the cluster speaks protocol %d, and this program understands only %d: start a newer "+
			"version, as the other nodes have it", m.counts.Protocol, protocol)
}
