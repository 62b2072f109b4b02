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

// User is one user. Immutable once it is in the view.
type User struct {
	Name   string `json:"name"` // the log-in name: an address in canonical form
	Tenant string `json:"tenant,omitempty"`
	// further reverse-paths: addresses, or "@domain" for all of a domain
	Senders []string `json:"senders,omitempty"`
	// see VerifyPassword for its formats; "": no password fits, but for the Scram keys
	Hash     string `json:"hash"`
	Scram    *Scram `json:"scram,omitempty"` // only for users who enabled SCRAM
	Disabled bool   `json:"disabled,omitempty"`
	// messages the user may submit; zero: the configured rate
	Messages Rate `json:"messages,omitzero"`
	// recipients the user may send to; zero: the configured rate
	Rcpts Rate `json:"recipients,omitzero"`
	// NoMailbox: the user only sends. Others have a mailbox if the domain of Name is local. Soft
	// and Hard bound its octets; zero: nothing does.
	NoMailbox bool  `json:"no_mailbox,omitempty"`
	Soft      int64 `json:"soft_quota,omitempty"`
	Hard      int64 `json:"hard_quota,omitempty"`
	// Retention is how long a message stays in a folder of the mailbox; zero: for good.
	Retention time.Duration `json:"retention,omitempty"`
	// Forward are the addresses to which mail for Name goes instead; with Keep to the mailbox as
	// well.
	Forward []string `json:"forward,omitempty"`
	Keep    bool     `json:"keep_copy,omitempty"`
	// Source names the outside list that the user comes from and that checks the password; "":
	// none.
	Source  string    `json:"source,omitempty"`
	Created time.Time `json:"created"`
	Changed time.Time `json:"changed"`
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
	Name    string   `json:"name"`
	Targets []string `json:"targets"` // addresses
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
	ErrUnknownDomain = errors.New(
		"there is no domain of that name; `postroad domain add` makes one",
	)
)

// Wrong is a refusal of what can never be: a name, an address or a setting that nobody could have.
type Wrong struct{ Why string }

// Error returns the sentence for people.
func (w *Wrong) Error() string { return w.Why }

func wrongf(format string, args ...any) error { return &Wrong{fmt.Sprintf(format, args...)} }
