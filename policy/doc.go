// Package policy decides who may send what (Policy) and who somebody is (Auth). Both answer from
// memory; only the hashing of passwords leaves the caller's goroutine, for a bounded pool. See
// DESIGN.md.
package policy

import (
	"net/netip"
	"time"

	"github.com/postroad/postroad/directory"
)

// Users is the directory's view: a look-up by canonical name that takes no lock.
type Users interface {
	Get(name string) (*directory.User, bool)
}

// Book is the directory's view, as Users is: what Policy needs to know what an address means.
type Book interface {
	Users
	Alias(name string) (*directory.Alias, bool)
	Domain(name string) (*directory.Domain, bool)
	Address(name string) (*directory.User, bool)
}

// Rate is N events in Per; the zero Rate is no limit.
type Rate = directory.Rate

// Rules are what the configuration says. They are replaced as a whole on reload.
type Rules struct {
	// Networks are the clients that may relay without AUTH.
	Networks []netip.Prefix
	// Local domains have their mailboxes here, as those of the directory have; Relay domains are
	// taken from anybody and relayed on. "*.example.net" is every domain below example.net.
	LocalDomains, RelayDomains []string
	// Postmaster gets the mail for postmaster of the local domains and of none. Empty: it keeps its
	// address at the local domain.
	Postmaster string
	// Hostname is the domain of a bare postmaster when there are no local domains.
	Hostname string
	// Messages and Recipients are what one user may submit, unless the user has a rate of their
	// own.
	Messages, Recipients Rate
	// Unknown is how many recipients that do not exist a client network may name, but for trusted
	// clients and users (unknown.go).
	Unknown Rate
}

// Events are told what the log lines of a session do not show. Any may be nil. They are called on
// event loops and on the goroutines that hash, and must not block.
type Events struct {
	// RateExceeded: a user wanted more than their rate: a compromised account's first sign. what is
	// "messages" or "recipients".
	RateExceeded func(user, what string, client netip.Addr)
	// LoginFailed: a wrong password, or a user that is not there; LoginBlocked: not even tried,
	// because the network, or others at this account, had failed too often. It is called once a
	// minute for each network.
	LoginFailed, LoginBlocked func(user string, client netip.Addr)
	// BadHash: a stored hash cannot be verified.
	BadHash func(user string, err error)
}

// clock is time.Now, or a test's.
type clock func() time.Time
