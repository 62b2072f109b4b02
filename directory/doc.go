// Package directory is the replicated list of users, domains and aliases: a state machine over the
// control group's store, the commands that change it, the view in memory that log-ins and policy
// read without a lock, and what an address means (Resolve).
//
// It knows neither raft nor Pebble nor SMTP; see DESIGN.md.
package directory

import (
	"errors"
	"fmt"
	"time"
)

// Bounds of the state, and so of the memory of the view: roughly 0.7 KiB for each user. Staged
// users are bounded as users are, and are not in memory.
const (
	MaxUsers   = 1_000_000
	MaxAliases = 1_000_000
	MaxDomains = 10_000
)

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

// Domain is a domain whose mail is kept here. Immutable once it is in the view.
type Domain struct {
	Name string `json:"name"` // A-labels in lower case
	// Separator parts a user's name from a detail that is ignored: with "+", mail for alice+news@
	// is alice's. "": it is a character like others.
	Separator string    `json:"separator"`
	Created   time.Time `json:"created"`
	Changed   time.Time `json:"changed"`
	Version   uint64    `json:"version"`
}

// DefaultSeparator is that of domains which nobody gave another.
const DefaultSeparator = "+"

// Alias is an address whose mail goes to others. Immutable once it is in the view.
type Alias struct {
	// an address in canonical form, or "@domain" for all addresses of a domain that are nothing
	// else (catch-all)
	Name string `json:"name"`
	// addresses, or of "@domain" other domains, "@other", whose address of the same local part
	// each address stands for
	Targets []string `json:"targets"`
	// Owner makes a list of the alias: messages to its targets carry this address as the
	// reverse-path, so that failures are reported to whoever keeps the list (RFC 5321 3.9.2).
	Owner   string    `json:"owner,omitempty"`
	Created time.Time `json:"created"`
	Changed time.Time `json:"changed"`
	Version uint64    `json:"version"`
}

// The ways in which a command can be refused.
var (
	ErrExists        = errors.New("there is a user of that name already")
	ErrUnknown       = errors.New("there is no user of that name")
	ErrFull          = errors.New("there are as many as this cluster can hold")
	ErrAliasExists   = errors.New("there is an alias of that name already")
	ErrUnknownAlias  = errors.New("there is no alias of that name")
	ErrDomainExists  = errors.New("there is a domain of that name already")
	ErrKeyExists     = errors.New("there is a key of that domain and selector already")
	ErrUnknownKey    = errors.New("there is no key of that domain and selector")
	ErrUnknownDomain = errors.New(
		"there is no domain of that name; `postroad domain add` makes one",
	)
)

// Wrong is a refusal of what can never be: a name, an address or a setting that nobody could have.
type Wrong struct{ Why string }

// Error returns the sentence for people.
func (w *Wrong) Error() string { return w.Why }

func wrongf(format string, args ...any) error { return &Wrong{fmt.Sprintf(format, args...)} }
