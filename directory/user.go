package directory

import (
	"time"
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
	Source string `json:"source,omitempty"`
	// Entry is which entry of that list the user is, whatever addresses it has; "": not known.
	Entry string `json:"entry,omitempty"`
	// Addresses are further addresses of the user, which get mail and log in (Book.Address).
	Addresses []string  `json:"addresses,omitempty"`
	Created   time.Time `json:"created"`
	Changed   time.Time `json:"changed"`
	// Version is the log index of the last change; what was derived from an older version is void.
	Version uint64 `json:"version"`
}

// Settings is what an operator can say of a user.
type Settings struct {
	Tenant     string
	Senders    []string
	Disabled   bool
	Messages   Rate // zero: the configured rate
	Recipients Rate // zero: the configured rate
	Scram      bool // keep keys for SCRAM-SHA-256, too
	NoMailbox  bool // see User
	Soft, Hard int64
	Retention  time.Duration
	Forward    []string
	Keep       bool
}

// Settings returns what an operator has said of the user.
func (u *User) Settings() Settings {
	return Settings{
		Tenant: u.Tenant, Senders: u.Senders, Disabled: u.Disabled, Messages: u.Messages,
		Recipients: u.Rcpts, Scram: u.Scram != nil,
		NoMailbox: u.NoMailbox, Soft: u.Soft, Hard: u.Hard, Retention: u.Retention,
		Forward: u.Forward, Keep: u.Keep,
	}
}

// Check says what is wrong with settings.
func (s Settings) Check() error { return new(User).configure(s) }

// newer reports whether the user has settings that the first version of this state does not keep.
func (u *User) newer() bool {
	return u.NoMailbox || u.Soft != 0 || u.Hard != 0 || u.Retention != 0 || len(u.Forward) > 0 ||
		u.Keep ||
		u.Source != ""
}

func (u *User) configure(s Settings) error {
	if len(s.Tenant) > maxTenant {
		return wrongf("a tenant's name has at most %d octets", maxTenant)
	}
	if len(s.Senders) > maxSenders {
		return wrongf(
			"a user has at most %d further senders; use @domain for all of a domain",
			maxSenders,
		)
	}
	for _, r := range []Rate{s.Messages, s.Recipients} {
		if r != (Rate{}) && (r.N <= 0 || r.Per <= 0) {
			return wrongf("a rate is a positive number in a positive time, such as 100/h")
		}
	}
	if s.Soft < 0 || s.Hard < 0 || s.Hard > 0 && s.Soft > s.Hard {
		return wrongf("a quota is not negative, and the soft quota is not above the hard one")
	}
	if s.Retention < 0 {
		return wrongf("mail is kept for a positive time, such as 90d, or with 0s for good")
	}
	var senders []string
	for _, sender := range s.Senders {
		canonical, err := CanonicalSender(sender)
		if err != nil {
			return err
		}
		senders = append(senders, canonical)
	}
	forward, err := targets(s.Forward, maxForward)
	if err != nil {
		return err
	}
	u.Tenant, u.Senders, u.Disabled = s.Tenant, senders, s.Disabled
	u.Messages, u.Rcpts = s.Messages, s.Recipients
	u.NoMailbox, u.Soft, u.Hard, u.Retention = s.NoMailbox, s.Soft, s.Hard, s.Retention
	u.Forward, u.Keep = forward, s.Keep
	return nil
}
