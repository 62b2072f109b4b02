//go:build pretend_newer

package version

// suffix marks a build that pretends to be newer.
const suffix = "+newer"
