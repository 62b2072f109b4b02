//go:build defect_nolease

package delivery

// A planted defect: a deposed owner goes on. The fault run must fail with it, and TestNotTheOwner.
func (o *Options) owns() bool { return true }
