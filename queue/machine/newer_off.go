//go:build !pretend_newer

package machine

// newer has what commands of a build that pretends to be newer have (tag pretend_newer). This is
// none.
type newer struct{}

// NewestCommand is one above the last that this build knows.
const NewestCommand = cmdEnd

func (*Command) decodeNewer(*Decoder) bool { return false }

// applyNewer: decode let a command through that dispatch does not know, which is a defect of ours.
func (*Machine) applyNewer() any { panic("queue: no way to apply this command") }
