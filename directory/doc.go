// Package directory is the replicated list of users: a state machine over the control group's store, the commands
// that change it, and the view in memory that log-ins and policy read without a lock.
//
// It knows neither raft nor Pebble nor SMTP; see DESIGN.md.
package directory

import (
	"errors"
	"time"
)

// MaxUsers bounds the users, and so the memory of the view: roughly 1 KiB each.
const MaxUsers = 1_000_000

// User is one user. Immutable once it is in the view.
type User struct {
	Name     string    `json:"name"` // the log-in name: an address in canonical form
	Tenant   string    `json:"tenant,omitempty"`
	Senders  []string  `json:"senders,omitempty"` // further reverse-paths: addresses, or "@domain" for all of a domain
	Hash     string    `json:"hash"`              // argon2id, PHC string
	Scram    *Scram    `json:"scram,omitempty"`   // only for users who enabled SCRAM
	Disabled bool      `json:"disabled,omitempty"`
	Messages Rate      `json:"messages,omitzero"`   // messages the user may submit; zero: the configured rate
	Rcpts    Rate      `json:"recipients,omitzero"` // recipients the user may send to; zero: the configured rate
	Created  time.Time `json:"created"`
	Changed  time.Time `json:"changed"`
	// Version is the log index of the last change; what was derived from an older version is void.
	Version uint64 `json:"version"`
}

// Rate is N events in Per.
type Rate struct {
	N   int64         `json:"n"`
	Per time.Duration `json:"per"`
}

// Scram is what a server stores for SCRAM-SHA-256 (RFC 5802 3).
type Scram struct {
	Salt       []byte `json:"salt"`
	Iterations int    `json:"iterations"`
	StoredKey  []byte `json:"stored_key"`
	ServerKey  []byte `json:"server_key"`
}

// The ways in which a command can be refused.
var (
	ErrExists  = errors.New("there is a user of that name already")
	ErrUnknown = errors.New("there is no user of that name")
	ErrFull    = errors.New("there are as many users as this cluster can hold")
)
