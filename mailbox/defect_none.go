//go:build !defect_forgetearly

package mailbox

const dropsDedupEarly = false

// dropDedupEarly does nothing: see defect.go.
func (r *run) dropDedupEarly([]Item) {}
