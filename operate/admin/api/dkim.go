package api

// SigningKey is a key with which mail of a domain is signed (DKIM). Private keys are never shown.
type SigningKey struct {
	Domain    string `json:"domain"`
	Selector  string `json:"selector"`
	Tenant    string `json:"tenant,omitempty"`
	Algorithm string `json:"algorithm"`
	Bits      int    `json:"bits,omitempty"` // of an RSA key
	State     string `json:"state"`          // new, active or retiring
	Since     Time   `json:"since"`          // it is in that state
	Created   Time   `json:"created"`
	// The record that belongs into DNS: where, its text, and as a line of a zone file.
	RecordName string `json:"record_name,omitempty"`
	Record     string `json:"record,omitempty"`
	Zone       string `json:"zone,omitempty"`
	// DNS is what DNS says of it: published, missing, different, broken or unknown. Problem says in
	// words what is wrong.
	DNS     string `json:"dns,omitempty"`
	Problem string `json:"problem,omitempty"`
}

// SigningKeys are the keys that a request was about.
type SigningKeys struct {
	Keys []*SigningKey `json:"keys"`
}

// DKIMRequest names keys and what to do with them.
type DKIMRequest struct {
	Domain    string `json:"domain"`
	Selector  string `json:"selector,omitempty"`
	Tenant    string `json:"tenant,omitempty"`
	Algorithm string `json:"algorithm,omitempty"` // rsa or ed25519
	Bits      int    `json:"bits,omitempty"`
	Private   string `json:"private,omitempty"` // a key that exists already, in PEM
	// Force activates a key that is not seen in DNS, or takes one out at once.
	Force bool `json:"force,omitempty"`
}
