//go:build !pretend_newer

package version

// suffix marks a build that pretends to be newer (tag pretend_newer).
const suffix = ""
