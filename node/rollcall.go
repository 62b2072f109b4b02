//go:build !defect_rollcall

package node

// anyRollCall is where a planted defect lets operators be answered from whatever this node knows.
const anyRollCall = false
