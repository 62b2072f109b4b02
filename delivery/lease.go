//go:build !defect_nolease

package delivery

// owns asks for the lease: whether this node still owns its messages (architecture.md, promise 2).
func (o *Options) owns() bool { return o.Owner() }
