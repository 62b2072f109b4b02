//go:build !pretend_newer

package queue

// newer has what commands of a build that pretends to be newer have (tag pretend_newer). This is
// none.
type newer struct{}

// newestCommand is one above the last that this build knows.
const newestCommand = cmdEnd

func (*command) decodeNewer(*decoder) bool { return false }

// applyNewer: decode let a command through that dispatch does not know, which is a defect of ours.
func (*machine) applyNewer() any { panic("queue: no way to apply this command") }
