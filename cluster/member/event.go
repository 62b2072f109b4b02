package member

import (
	"time"
)

// Names of the events. They are a closed list, which docs/cluster.md has.
const (
	EventMissing = "member_missing"
	EventBack    = "member_back"
	EventEvicted = "node_shut_out"
)

// Event is something in the life of the cluster that an operator's alerting wants to know.
type Event struct {
	Name          string
	Member        uint16 // whom it is about
	MemberName    string
	Since         time.Time // zero: now
	Informational bool      // it calls for no action
	Words         string
}
