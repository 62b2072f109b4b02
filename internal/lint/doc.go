// Package lint holds tests over the source tree that keep the rules of docs/overview.md: who may
// import whom, where each library is at home, and that no test waits for time to pass. It has no
// code.
package lint
