//go:build pretend_older

package control

// pretended: this build pretends to know no pushed configurations yet, to stand beside today's in a
// cluster.
const pretended = PushProtocol - 1 - TokensProtocol
