// Package member is this node as a member of its cluster: where it finds the others, which of them
// answer, and what it keeps to know at its next start that it is one.
//
// It knows bytes and groups, not mail.
package member
