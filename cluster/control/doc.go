// Package control is the state machine of the control group: which members the cluster has, which
// groups there are and where they should lie, the tokens with which nodes join, and the authority
// that signs their certificates. The planners say what to change next; raft itself is elsewhere.
//
// It knows neither raft nor Pebble nor the network; see DESIGN.md.
package control

import (
	"errors"
	"time"
)

// Bounds of the state. All of it is in memory on every member.
const (
	MaxMembers = 256       // present at once
	maxMember  = 1<<16 - 1 // numbers ever given
	// group numbers ever given; a retired one stays as a tombstone of some 100 octets
	maxGroup   = 1 << 17
	maxTokens  = 64  // valid at once
	maxName    = 64  // octets
	maxAddress = 261 // octets: a domain name, a colon and a port
)

// ControlGroup is the number of the control group.
const ControlGroup uint64 = 1

// MemberState says what a member may be used for.
type MemberState string

const (
	// has its certificate; it was never seen running and holds nothing
	Joining  MemberState = "joining"
	Active   MemberState = "active"   // may hold any group, and leads its home group
	Draining MemberState = "draining" // gets nothing new; its places are given to others
	Removed  MemberState = "removed"  // gone for good; its number is not used again
)

// Member is a node of the cluster. A plain value.
type Member struct {
	ID          uint16      `json:"id"` // 1 or more, never used again
	Name        string      `json:"name"`
	Address     string      `json:"address"`     // host:port that the others dial
	Incarnation uint64      `json:"incarnation"` // of its store: another one is a wiped disk
	State       MemberState `json:"state"`
	Joined      time.Time   `json:"joined"`
	Version     string      `json:"version,omitempty"` // of the program it runs
	// the newest commands and requests that it understands
	Protocol int `json:"protocol"`
	// Key is the public key that it shows (wire.Credentials.PublicKey); "": not recorded yet.
	Key string `json:"key,omitempty"`
	// SealKey is the public key, in base64, for which its boxes are made (KeyBox); "": not recorded
	// yet.
	SealKey string `json:"seal_key,omitempty"`
}

// Kinds of groups.
const (
	KindControl = "control"
	KindQueue   = "queue"
	KindMailbox = "mailbox"
)

// GroupState is a step of a group's life.
type GroupState string

const (
	// its home is to bootstrap it, as the only voter; it accepts nothing yet
	GroupNew      GroupState = "new"
	GroupServing  GroupState = "serving"  // accepts and delivers
	GroupDraining GroupState = "draining" // delivers what it has and accepts nothing
	GroupRetired  GroupState = "retired"  // gone; its number is not used again
)

// Group is a raft group: where it should lie and where it lies. The slices are read-only.
type Group struct {
	ID    uint64 `json:"id"`
	Kind  string `json:"kind"`
	Shard int    `json:"shard,omitempty"` // of the mailboxes; 0 is one, too
	// the member for whose mail a queue group is; who leads a mailbox group when it can, and founds
	// it
	Home  uint16     `json:"home,omitempty"`
	State GroupState `json:"state"`
	// Voters and Nonvoters are what is desired, in ascending order.
	Voters    []uint16 `json:"voters,omitempty"`
	Nonvoters []uint16 `json:"nonvoters,omitempty"`
	// Plan is the log index of the last change of what is desired.
	Plan uint64 `json:"plan"`
	// Observed is what its leader last reported.
	Observed Configuration `json:"observed,omitzero"`
}

// Configuration is raft's configuration of a group, in ascending order.
type Configuration struct {
	Voters    []uint16 `json:"voters,omitempty"`
	Nonvoters []uint16 `json:"nonvoters,omitempty"`
	Index     uint64   `json:"index,omitempty"` // of the log entry with this configuration
	// that its leader had seen, and has not acted on yet; Editor.Observed sets it
	Plan uint64 `json:"plan,omitempty"`
}

// The ways in which a command can be refused; the error that an Editor returns says it in words for
// the operator, too.
var (
	ErrInvalid = errors.New("refused") // it makes no sense now; every refusal is one
	// there is no such member, group, token or suspension
	ErrUnknown = errors.New("not in the state")
	ErrExists  = errors.New("in the state")      // the name is taken
	ErrFull    = errors.New("as many as can be") // a bound of the state
	// a group is just being changed: repeat it in a moment
	ErrBusy  = errors.New("under way")
	ErrStale = errors.New("the state changed") // the plan was made of an older state: plan again
)
