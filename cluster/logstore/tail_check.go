//go:build !defect_notail

package logstore

// checksTail says that a bad last block is looked at.
const checksTail = true
