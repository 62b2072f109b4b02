// Package rows says what a state machine that lives in a group of the cluster sees of it: rows to
// write when a command is applied, rows to read, and a way to propose. Those who keep such a state
// (cluster/control, directory; queue and mailbox with contents) know neither raft nor Pebble nor
// each other; cluster implements all of it, and rowstest does for tests.
package rows

import (
	"context"
	"errors"
)

// ErrRefused says that a command was not proposed: it is not in the log and will not be, and
// nothing happened. Proposers wrap it with the reason.
var ErrRefused = errors.New("refused")

// ErrUnknown says that a command may have been applied, or may still be.
var ErrUnknown = errors.New("outcome unknown")

// Writer is where Apply writes. Every method is called on the apply goroutine; keys and values are
// copied, and the value that Get returns is valid until the next call. Get sees the writes of the
// same batch.
type Writer interface {
	Set(key, value []byte)
	Delete(key []byte)
	Get(key []byte) (value []byte, ok bool)
}

// Reader reads the applied state of one moment: Scan calls fn with the rows of [from, to) in order
// until it returns false; k and v are valid during the call.
type Reader interface {
	Scan(from, to []byte, fn func(k, v []byte) bool) error
}

// Proposer replicates a command: data and its content parts. It blocks until the command is applied
// and on stable storage on a majority, and returns what Apply returned. An error that does not wrap
// ErrRefused means that the outcome is unknown; then data and parts must never change again, else
// they are the caller's when Propose returns, but for what Apply kept.
type Proposer interface {
	Propose(ctx context.Context, data []byte, parts [][]byte) (result any, err error)
}

// ProposerFunc is a function that proposes.
type ProposerFunc func(ctx context.Context, data []byte, parts [][]byte) (any, error)

// Propose calls the function.
func (f ProposerFunc) Propose(ctx context.Context, data []byte, parts [][]byte) (any, error) {
	return f(ctx, data, parts)
}

// ContentWriter is where Apply of a state writes that refers to contents in the log: this group's
// keys in the node's store, all in the batch that also holds the applied index. Used by the apply
// goroutine only. Keys are relative to the group; keys and values are copied before a call returns.
// A storage error stops the process (a state machine that skips a write diverges).
type ContentWriter interface {
	Set(key, value []byte)
	Delete(key []byte)
	// DeleteRange deletes the keys in [from, to).
	DeleteRange(from, to []byte)
	// Get sees all earlier writes, those of the same batch included. The value is valid until the
	// next call.
	Get(key []byte) (value []byte, ok bool)
	// KeepPart says that the state now refers to a content part of the log entry being applied,
	// DropPart that it no longer refers to the part of that index. A part that nobody refers to
	// goes when its entry does.
	KeepPart(index uint64, part int)
	DropPart(index uint64, part int)
}

// ContentReader reads the applied state of such a group. Safe for use by several goroutines.
type ContentReader interface {
	Get(key []byte) (value []byte, ok bool, err error)
	// Scan calls fn with the pairs of [from, to) in order until it returns false; k and v are valid
	// during the call. It sees the applied state of one moment.
	Scan(from, to []byte, fn func(k, v []byte) bool) error
	// ReadPart appends a content part to buf: from memory while the entry is recent, else from
	// disk, checksum verified.
	ReadPart(buf []byte, index uint64, part int) ([]byte, error)
}
