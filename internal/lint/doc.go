// Package lint holds tests over the source tree that keep the rules of docs/overview.md: who may
// import whom, where each library is at home, how large things are, that exported names are
// explained, and that no test waits for time to pass. It has no code.
package lint
