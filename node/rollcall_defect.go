//go:build defect_rollcall

package node

// anyRollCall is a planted defect: operators are answered from whatever this node knows, which
// right after a start may be nothing. The fault run must fail with it.
const anyRollCall = true
