// Package crash takes the power from the real queue on the real log store, at random moments
// under load, and looks at what is there afterwards. It has no code of its own but its test.
package crash
