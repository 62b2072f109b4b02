// Package rows says what a state machine that lives in a group of the cluster sees of it: rows to write when a command is applied, rows to
// read, and a way to propose. Those who keep such a state (cluster/control, directory) know neither raft nor Pebble nor each other; cluster
// implements all of it, and rowstest does for tests.
package rows

import "context"

// Writer is where Apply writes. Every method is called on the apply goroutine; keys and values are copied, and the value that Get
// returns is valid until the next call. Get sees the writes of the same batch.
type Writer interface {
	Set(key, value []byte)
	Delete(key []byte)
	Get(key []byte) (value []byte, ok bool)
}

// Reader reads the applied state of one moment: Scan calls fn with the rows of [from, to) in order until it returns false; k and v are
// valid during the call.
type Reader interface {
	Scan(from, to []byte, fn func(k, v []byte) bool) error
}

// Proposer replicates a command, wherever the leader is, and returns what Apply returned there. An error means that the outcome is
// unknown or that the command was refused before it was in the log.
type Proposer interface {
	Propose(ctx context.Context, data []byte, parts [][]byte) (any, error)
}
