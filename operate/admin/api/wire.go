package api

import (
	"encoding/json"

	"github.com/postroad/postroad/internal/config"
)

// Filter selects recipients in the queue; all that is set must hold. The zero Filter selects all.
type Filter struct {
	IDs       []string        `json:"ids,omitempty"`
	Domain    string          `json:"domain,omitempty"`
	Sender    string          `json:"sender,omitempty"` // "<>" is the null reverse-path
	Recipient string          `json:"recipient,omitempty"`
	Tenant    string          `json:"tenant,omitempty"`
	Campaign  string          `json:"campaign,omitempty"`
	States    []string        `json:"states,omitempty"` // ready, inflight, deferred, held
	Older     config.Duration `json:"older,omitempty"`  // in the queue for at least this long
	// All must be set for hold, release, fail and remove when nothing else is: nobody empties a
	// queue by leaving something out. Beside other members it says nothing: they still narrow down.
	All bool `json:"all,omitempty"`
	// Groups are the only queue groups that are asked; none: all. Nodes use it among themselves.
	Groups []uint64 `json:"groups,omitempty"`
	// Reason is what fail tells the senders.
	Reason string `json:"reason,omitempty"`
}

// Message is one message of a listing. Times are seconds since 1970. The names are those of
// Postfix's `postqueue -j`, and more.
type Message struct {
	QueueName   string `json:"queue_name"` // active, deferred or hold
	QueueID     string `json:"queue_id"`
	ArrivalTime int64  `json:"arrival_time"`
	MessageSize int64  `json:"message_size"`
	// the same under the names that events have for it
	ID      string `json:"id"`
	Created Time   `json:"created_time"`
	Size    int64  `json:"size"`
	Sender  string `json:"sender"`
	// of the recipient that moves next: inflight, ready, deferred, held
	State      string      `json:"state"`
	Recipients []Recipient `json:"recipients"`
	Node       string      `json:"node"` // the one that owns its group
	Group      uint64      `json:"group"`
	Tenant     string      `json:"tenant,omitempty"`
	Campaign   string      `json:"campaign,omitempty"`
}

// Recipient is one recipient of a Message.
type Recipient struct {
	Address     string `json:"address"`
	State       string `json:"state"`
	Attempts    int    `json:"attempts"`
	NextAttempt int64  `json:"next_attempt,omitempty"` // only when it is scheduled
	Next        Time   `json:"next_attempt_time,omitzero"`
	DelayReason string `json:"delay_reason,omitempty"` // the last answer
	// Waits is the limit that keeps it from being tried now: "rate 5/s of shaping example.com".
	Waits string `json:"waits,omitempty"`
}

// Detail is all that is known of one message.
type Detail struct {
	Message
	EnvelopeID string `json:"envelope_id,omitempty"`
	Client     string `json:"client,omitempty"`
	Helo       string `json:"helo,omitempty"`
	Protocol   string `json:"protocol,omitempty"`
	User       string `json:"user,omitempty"`
	Listener   string `json:"listener,omitempty"`
	Report     bool   `json:"report,omitempty"` // a delivery report of this node's
}

// Total counts what a filter selected, or what a verb moved, in all groups that answered. Of a
// verb, recipients whose attempt was under way are among the States as "inflight", and not among
// Recipients: hold, fail and remove are done to them, but the attempt goes on, and may deliver.
type Total struct {
	Node       string           `json:"node"`            // the one that was asked
	Index      uint64           `json:"index,omitempty"` // of the group's log, when it is one group
	Messages   int64            `json:"messages"`
	Recipients int64            `json:"recipients"`
	States     map[string]int64 `json:"states"` // recipients
	Groups     []GroupTotal     `json:"groups,omitempty"`
	// Missing is what should have answered and did not: it is in no figure here. All else is done
	// and counted; without Groups that is nothing.
	Missing []Missing `json:"missing,omitempty"`
	// Unreachable are nodes that did not answer though nothing is missing: others own the groups.
	Unreachable []string `json:"unreachable,omitempty"`
	// Truncated: a trace has more steps, which are older.
	Truncated bool `json:"truncated,omitempty"`
}

// GroupTotal is the part of one group, exact at an index of its log that is no older than the
// request.
type GroupTotal struct {
	Group      uint64           `json:"group"`
	Node       string           `json:"node"` // its owner
	Index      uint64           `json:"index"`
	Messages   int64            `json:"messages"`
	Recipients int64            `json:"recipients"`
	States     map[string]int64 `json:"states"`
	Partial    bool             `json:"partial,omitempty"` // it did not get to the end
}

// Missing is a group, or all that a node owns, that did not answer.
type Missing struct {
	Group uint64 `json:"group,omitempty"`
	Home  string `json:"home,omitempty"` // the node whose home group it is
	Node  string `json:"node,omitempty"` // the one that did not answer, or not well
	Why   string `json:"why"`
	Doubt bool   `json:"doubt,omitempty"` // it may have moved recipients that are counted nowhere
}

// Line is one line of a stream; at most one of its members is set. A line without any says that the
// work goes on.
type Line struct {
	Item     json.RawMessage `json:"item,omitempty"`
	Progress int64           `json:"progress,omitempty"` // recipients moved so far
	Total    *Total          `json:"total,omitempty"`
	Error    *Error          `json:"error,omitempty"`
}

// Mailbox is one mailbox.
type Mailbox struct {
	Address   string   `json:"address"`
	Messages  uint64   `json:"messages"`
	Octets    int64    `json:"octets"`
	Soft      int64    `json:"soft,omitempty"` // quotas, in octets
	Hard      int64    `json:"hard,omitempty"`
	Retention int64    `json:"retention,omitempty"` // seconds
	Created   Time     `json:"created"`
	Folders   []Folder `json:"folders,omitempty"` // only of one that is shown
}

// Folder is one folder of a Mailbox.
type Folder struct {
	Name        string `json:"name"`
	Messages    uint64 `json:"messages"`
	Octets      int64  `json:"octets"`
	Unseen      uint64 `json:"unseen"`
	Deleted     uint64 `json:"deleted,omitempty"` // have the flag
	Retention   int64  `json:"retention,omitempty"`
	UIDValidity uint32 `json:"uidvalidity"`
	UIDNext     uint32 `json:"uidnext"`
}

// Imported says how far an import came that failed.
type Imported struct {
	Messages int64 `json:"messages"`
}
