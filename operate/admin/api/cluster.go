package api

import (
	"fmt"
	"slices"
	"time"
)

// ClusterStatus is how a cluster is, seen from one node.
type ClusterStatus struct {
	Cluster  string         `json:"cluster"` // its ID
	Node     string         `json:"node"`    // the one that was asked
	Members  []MemberStatus `json:"members"`
	Groups   []GroupStatus  `json:"groups"`
	Protocol int            `json:"protocol"` // that all members understand
	// how many more nodes may die without a stop anywhere
	Survives    int      `json:"survives"`
	Suspensions int      `json:"suspensions"`        // in force
	Problems    []string `json:"problems,omitempty"` // each says what to do
	// why members and groups may be others by now; "": they are not
	Old string `json:"old,omitempty"`
}

// MemberStatus is how one node is.
type MemberStatus struct {
	ID        uint16 `json:"id"`
	Name      string `json:"name"`
	Address   string `json:"address"` // of its cluster port
	State     string `json:"state"`   // joining, active, draining, removed
	Version   string `json:"version,omitempty"`
	Protocol  int    `json:"protocol"` // the newest commands and requests that it understands
	Reachable bool   `json:"reachable"`
	Since     Time   `json:"missing_since,omitzero"` // when it last answered, if it does not
	Self      bool   `json:"self,omitempty"`
	Ready     string `json:"ready"` // "ready", or why it is not
}

// GroupStatus is how one group is, as its leader says. Without a leader its State is what was last
// decided, and the figures say nothing. Nodes are named by name.
type GroupStatus struct {
	ID    uint64 `json:"id"`
	Kind  string `json:"kind"`            // control, queue, mailbox
	Shard *int   `json:"shard,omitempty"` // of the mailboxes
	// for whose mail it is; who leads mailboxes when it can
	Home      string   `json:"home,omitempty"`
	Leader    string   `json:"leader,omitempty"` // "": none is known
	State     string   `json:"state"`            // new, serving, draining, retired
	Voters    []string `json:"voters"`
	Nonvoters []string `json:"nonvoters,omitempty"`
	Term      uint64   `json:"term"`
	Commit    uint64   `json:"commit"`
	Applied   uint64   `json:"applied"`
	// entries that each follower has still to get
	Lag      map[string]uint64 `json:"lag,omitempty"`
	Survives int               `json:"survives"` // how many more of its voters may die
	// absent: nobody who leads the group says
	Messages *int64 `json:"messages,omitempty"`
	// the version of the suspensions that it has acknowledged
	Suspended uint64 `json:"suspended,omitempty"`
	// what is under way to where it should lie
	Moves []Move `json:"moves,omitempty"`
	// HandedOver counts messages that went to other groups because this one is to go, Waits says
	// what keeps more from it.
	HandedOver int64  `json:"handed_over,omitempty"`
	Waits      string `json:"waits,omitempty"`
}

// Title says what a group is to people.
func (g *GroupStatus) Title() string {
	switch {
	case g.Shard != nil:
		return fmt.Sprintf("group %d (mailboxes, shard %d)", g.ID, *g.Shard)
	case g.Home == "":
		return fmt.Sprintf("group %d (%s)", g.ID, g.Kind)
	}
	return fmt.Sprintf("group %d (mail of %s)", g.ID, g.Home)
}

// Move is a voter that a group is to get or to lose.
type Move struct {
	Node   string `json:"node"`
	Phase  string `json:"phase"`            // one of the phases below
	Octets int64  `json:"octets,omitempty"` // copied
	Of     int64  `json:"of,omitempty"`     // about
	Behind uint64 `json:"behind,omitempty"` // entries
}

// Phases of a move.
const (
	MoveWaits     = "waits"
	MoveCopies    = "copies"     // takes the state over as a whole
	MoveCatchesUp = "catches up" // gets the entries that it lacks
	MoveLeaves    = "leaves"
)

// DrainProgress is how far a drain is.
type DrainProgress struct {
	Node string `json:"node"`
	// in a few words: "handing over leadership", "waiting for deliveries"
	Phase      string `json:"phase"`
	Messages   int64  `json:"messages"`   // left in its home group
	Recipients int64  `json:"recipients"` // the same in recipients
	// messages that went to other nodes' groups, for they were to wait for long
	HandedOver int64 `json:"handed_over"`
	// Unknown is why nobody knows how many messages are left, and were handed over; "": those are
	// the figures.
	Unknown string `json:"unknown,omitempty"`
	Waits   string `json:"waits,omitempty"` // what keeps more from being handed over
	Leads   int    `json:"leads"`           // groups that it still leads
	// of the mailboxes that others have still to take over from it
	Shards int `json:"shards"`
}

// ofNoNode are the verbs that name no node.
var ofNoNode = []string{"init", "token", "tokens", "revoke"}

// ClusterRequest names nodes, or how long a token is good.
type ClusterRequest struct {
	Node string `json:"node,omitempty"`
	New  string `json:"new,omitempty"` // of replace
	TTL  int64  `json:"ttl,omitempty"` // of token: seconds; 0: for ever
	// Uses, of token, is how many nodes it lets in; 0: any number.
	Uses int `json:"uses,omitempty"`
	// Force removes a node that does not answer and was not drained.
	Force bool `json:"force,omitempty"`
}

// JoinToken is a join token as it is listed: how it begins, and when it ends.
type JoinToken struct {
	Begins  string    `json:"begins"`
	Expires time.Time `json:"expires,omitzero"` // zero: never; it is in the nodes' files
	Nodes   int       `json:"nodes,omitempty"`  // that it lets in still; 0: any number
}

// String is for people.
func (t *JoinToken) String() string {
	who := "any number of nodes"
	switch {
	case t.Nodes == 1:
		who = "one node"
	case t.Nodes > 1:
		who = fmt.Sprint(t.Nodes, " nodes")
	}
	if t.Expires.IsZero() {
		return t.Begins + "...  for " + who +
			", good until it is revoked (cluster.token_file, or --ttl 0s)"
	}
	return t.Begins + "...  for " + who + ", good until " +
		t.Expires.Local().Format("2006-01-02 15:04:05")
}

// Check finds what cannot be meant.
func (r *ClusterRequest) Check(verb string) error {
	switch {
	case !slices.Contains(ofNoNode, verb) && r.Node == "":
		return Fail(ExitUsage, "no node is named", "`postroad cluster status` lists the nodes")
	case verb == "replace" && r.New == "":
		return Fail(ExitUsage, "the node that takes its place is missing",
			"`postroad cluster replace OLD NEW`")
	case verb == "replace" && r.New == r.Node:
		return Fail(ExitData, fmt.Sprintf("%s cannot replace itself", r.Node),
			"a node whose disk is lost joins under another name, which then replaces the old one")
	case r.TTL < 0 || r.TTL > maxTTL:
		return Fail(ExitData, "the time is out of range",
			"a token is good for 1 second to 10 years, or for ever (0)")
	}
	return nil
}

// maxTTL is ten years in seconds.
const maxTTL = 10 * 365 * 24 * 3600
