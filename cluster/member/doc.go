// Package member is this node as a member of its cluster: where it finds the others and makes them
// know where it is (Locator), which of them answer (Detector), what it is to take part in
// (Reconciler), how it becomes one (Joiner, Seeker), and what it keeps outside of its data
// directory so that it knows at its next start that it is one (Notes).
//
// It knows groups, not mail: what is in a group, and how this node begins and ends its part in it,
// is behind Parts. See DESIGN.md.
package member
