// Package peer is what members of a cluster say to each other about themselves, beside raft's
// messages and the operator's questions.
package peer

import "github.com/postroad/postroad/cluster"

// ReportPath is where a member answers a GET with its Report.
const ReportPath = "/node/report"

// Report is how a member says it is.
type Report struct {
	Version string  `json:"version"`
	Ready   string  `json:"ready"` // "": it takes mail; else why not
	Groups  []Group `json:"groups"`
	// Silent are the members that do not answer it, and for how many seconds.
	Silent map[uint16]int64 `json:"silent,omitempty"`
	// Config is the version of the pushed configuration that is in force (0: none), ConfigWhy why
	// the newest cannot be ("": it is, or will be at once).
	Config    uint64 `json:"config,omitempty"`
	ConfigWhy string `json:"config_why,omitempty"`
	// Rows is what its program keeps of the directory's rows (directory.Rows).
	Rows int `json:"rows,omitempty"`
}

// Group is a group as one of its members sees it.
type Group struct {
	cluster.Status
	Messages  uint64 `json:"messages"`         // in it, as far as this member has applied
	Suspended uint64 `json:"suspended"`        // the version of suspensions that it acknowledged
	Handed    uint64 `json:"handed,omitempty"` // messages that were handed over to other groups
	Waits     string `json:"waits,omitempty"`  // what its owner waits for to hand more over
}
