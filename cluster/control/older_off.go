//go:build !pretend_newer && !pretend_older

package control

// pretended is by how much this build pretends to be newer (tags pretend_newer, pretend_older).
const pretended = 0
