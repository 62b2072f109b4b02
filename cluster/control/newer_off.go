//go:build !pretend_newer

package control

// newer has what a build that pretends to be newer (tag pretend_newer) knows of the cluster. This
// is nothing.
type newer struct{}

// newestCommand is one above the last that this build knows.
const newestCommand = cmdEnd
