package api

// StageRequest puts users aside under the name of a stage.
type StageRequest struct {
	Stage string `json:"stage"`
	// users of the same names, when they are published
	Replace bool           `json:"replace,omitempty"`
	Users   []ImportedUser `json:"users,omitempty"`
}

// ImportedUser is one of them. Hash and Scram are as directory.ParseHash takes them.
type ImportedUser struct {
	Name  string `json:"name"`
	Hash  string `json:"hash,omitempty"`
	Scram string `json:"scram,omitempty"`
	UserSettings
}

// StageAnswer names those that were refused; all others are staged.
type StageAnswer struct {
	Refused []RefusedUser `json:"refused,omitempty"`
}

// RefusedUser is one of a request's users, by its place.
type RefusedUser struct {
	Number int    `json:"number"`
	Why    string `json:"why"`
}

// Stage is one of a listing.
type Stage struct {
	Name  string `json:"name"`
	Users int    `json:"users"`
}

// ExportedUser is a user with what the password is checked with.
type ExportedUser struct {
	User
	Hash   string `json:"hash,omitempty"`
	Secret string `json:"scram_keys,omitempty"`
}

// SyncRequest asks for a look at the outside list of users; Force, to remove even most of those who
// came from it.
type SyncRequest struct {
	Force bool `json:"force,omitempty"`
}

// SyncAnswer counts users.
type SyncAnswer struct {
	Users   int `json:"users"` // of the list
	Changed int `json:"changed"`
	Removed int `json:"removed"`
	Kept    int `json:"kept"`    // there is one of our own of that name
	Refused int `json:"refused"` // it could not be a user
}
