package api

import "github.com/postroad/postroad/internal/config"

// UserRequest names a user and what to give them.
type UserRequest struct {
	Name     string `json:"name"`
	Password string `json:"password,omitempty"`
	Scram    bool   `json:"scram,omitempty"`
	// KeepMail: of a user who is removed, the mailbox stays.
	KeepMail bool `json:"keep_mail,omitempty"`
	UserSettings
}

// UserSettings are what can be said of a user. What is absent stays as it is, or for a new user is
// off; an empty list is none.
type UserSettings struct {
	Tenant     *string          `json:"tenant,omitempty"`
	Senders    []string         `json:"senders,omitzero"`
	Messages   *config.Rate     `json:"messages,omitempty"`
	Recipients *config.Rate     `json:"recipients,omitempty"`
	Disabled   *bool            `json:"disabled,omitempty"`
	Mailbox    *bool            `json:"mailbox,omitempty"`    // of a new user: on
	SoftQuota  *config.Size     `json:"soft_quota,omitempty"` // 0: none
	HardQuota  *config.Size     `json:"hard_quota,omitempty"` // 0: none
	Retention  *config.Duration `json:"retention,omitempty"`  // 0s: for good
	Forward    []string         `json:"forward,omitzero"`
	KeepCopy   *bool            `json:"keep_copy,omitempty"` // of what is forwarded
}

// User is one user of a listing. Passwords and keys are never shown.
type User struct {
	Name       string          `json:"name"`
	Tenant     string          `json:"tenant,omitempty"`
	Senders    []string        `json:"senders,omitempty"`
	Messages   config.Rate     `json:"messages,omitzero"`
	Recipients config.Rate     `json:"recipients,omitzero"`
	Scram      bool            `json:"scram"`
	Disabled   bool            `json:"disabled,omitempty"`
	Mailbox    bool            `json:"mailbox"` // when the domain is local
	SoftQuota  int64           `json:"soft_quota,omitempty"`
	HardQuota  int64           `json:"hard_quota,omitempty"`
	Retention  config.Duration `json:"retention,omitzero"` // of messages in a folder
	Forward    []string        `json:"forward,omitempty"`
	KeepCopy   bool            `json:"keep_copy,omitempty"`
	// the outside list that the user comes from
	Source string `json:"source,omitempty"`
	// Addresses are further ones that get the user's mail.
	Addresses []string `json:"addresses,omitempty"`
	Created   Time     `json:"created"`
	Changed   Time     `json:"changed"`
}

// Domain is one domain whose mail is kept here.
type Domain struct {
	Name       string `json:"name"`
	Separator  string `json:"separator"`
	Configured bool   `json:"configured,omitempty"` // in local.domains of the node that was asked
	Created    Time   `json:"created,omitzero"`     // of one that is in the directory
	Changed    Time   `json:"changed,omitzero"`
}

// DomainRequest names a domain and what to do with it.
type DomainRequest struct {
	Name      string  `json:"name"`
	Separator *string `json:"separator,omitempty"` // absent: the default, or what it is
	All       bool    `json:"all,omitempty"`       // remove it with addresses in it
}

// Alias is one alias, or with an owner a list.
type Alias struct {
	Name    string   `json:"name"`
	Owner   string   `json:"owner,omitempty"`
	Targets []string `json:"targets"`
	Created Time     `json:"created"`
	Changed Time     `json:"changed"`
}

// AliasRequest names an alias and what to make of it.
type AliasRequest struct {
	Name    string   `json:"name"`
	Owner   *string  `json:"owner,omitempty"`  // absent: as it is
	Targets []string `json:"targets,omitzero"` // absent: as they are
	Add     []string `json:"add,omitempty"`
	Remove  []string `json:"remove,omitempty"`
}
