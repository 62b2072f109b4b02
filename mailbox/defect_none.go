//go:build !defect_forgetearly

package mailbox

const forgetsEarly = false

// forgetEarly does nothing: see defect.go.
func (r *run) forgetEarly([]Item) {}
