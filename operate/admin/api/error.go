// Package api is what operators and nodes say to each other: the requests and answers of
// operate/admin as JSON, and errors with the exit statuses of the command line.
package api

import "errors"

// The exit statuses of sysexits.h that errors carry.
const (
	ExitUsage       = 64
	ExitData        = 65
	ExitUnavailable = 69
	ExitSoftware    = 70
	ExitIO          = 74
	ExitTemporary   = 75
	ExitPermission  = 77
	ExitConfig      = 78
)

// Error is a failure with the exit status that the command line ends with.
type Error struct {
	Exit    int    `json:"exit"`
	Message string `json:"error"`
	Hint    string `json:"hint,omitempty"` // what to do next
}

func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + "\n" + e.Hint
}

// Fail makes an Error; hint may be "".
func Fail(exit int, message, hint string) *Error { return &Error{exit, message, hint} }

// AsError gives any error its place: what is not an Error yet comes from the node's inside and may
// pass.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return Fail(ExitTemporary, err.Error(), "try again; `postroad serve` logs what the node misses")
}

// Permanent gives an error that no restart mends the exit status that says so: after it a service
// manager does not start the node again.
func Permanent(err error) error { return &Error{Exit: ExitConfig, Message: err.Error()} }

// IsPermanent reports whether an error is one that no repetition mends.
func IsPermanent(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Exit == ExitConfig
}
