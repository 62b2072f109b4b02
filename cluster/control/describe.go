package control

import "fmt"

// Describe says for operators what a command changes, without secrets; "": what the cluster does by
// itself.
func (s *State) Describe(data []byte) string {
	kind, c, err := decodeCommand(data)
	if err != nil {
		return "a change that this program does not know"
	}
	name := func(id uint16) string {
		if m, ok := s.Member(id); ok {
			return m.Name
		}
		return fmt.Sprintf("member %d", id)
	}
	switch kind {
	case cmdAddMember:
		return fmt.Sprintf("node %s joins", c.Node.Name)
	case cmdSetAddress:
		return fmt.Sprintf("node %s gets the address %s", name(c.Member), c.Node.Address)
	case cmdDrain:
		return fmt.Sprintf("node %s is drained", name(c.Member))
	case cmdUndrain:
		return fmt.Sprintf("node %s is drained no more", name(c.Member))
	case cmdRemove:
		return fmt.Sprintf("node %s is removed", name(c.Member))
	case cmdReplace:
		return fmt.Sprintf("node %s is replaced by %s", name(c.Member), name(c.Other))
	case cmdAddToken:
		return "a token is made"
	case cmdSuspend:
		return fmt.Sprintf("%s %s is suspended", c.Suspension.Kind, c.Suspension.Name)
	case cmdResume:
		return "a suspension ends"
	case cmdMakeShards:
		return fmt.Sprintf("mailboxes are kept in %d shards", c.Shards)
	case cmdPush:
		return fmt.Sprintf("version %d of the configuration is pushed", c.Pushed.Version)
	}
	return ""
}
