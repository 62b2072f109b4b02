//go:build pretend_older

package control

// pretended: this build pretends to be the version before, to stand beside today's in a cluster.
const pretended = -1
