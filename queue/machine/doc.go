// Package machine is the queue's state machine: a pure function of a group's rows and the commands
// of
// its log, so that each member comes to the same state. It has the forms of rows and commands, the
// table of moves, and what each command does. It knows no clock, no owner and no scheduler; package
// queue is around it, and its DESIGN.md has the invariants.
package machine
