// Package operator is what the verbs of operators do on this node: it implements what operate/admin
// needs of the cluster, of the suspensions, of the queues, of the mailboxes and of the users.
package operator

import (
	"context"
	"time"

	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/member"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/node/internal/peer"
)

// Options are what an Operator needs.
type Options struct {
	// Name is the node's name, Member its number.
	Name   string
	Member uint16
	// State is the control state, Changes what edits it.
	State   *control.State
	Changes *control.Editor
	// Suspender edits the suspensions, whose times take no notice of steps of the wall clock.
	Suspender *control.Editor
	// Group is the control group.
	Group Group
	// Open opens this node to others, who may join it from then on. It may be called again.
	Open func(ctx context.Context) error
	// Members are those that may be asked: those of the control state, or of whom is known where
	// they are while that has none yet.
	Members func() []control.Member
	// Ask makes a request with JSON, both ways, to another member.
	Ask func(ctx context.Context, member uint16, method, path string, body, into any) error
	// WouldChange returns what a configuration that is pushed would change on this node, or why it
	// could not take it.
	WouldChange func(*config.Shared) ([]config.Change, error)
	// Report is how this node says it is.
	Report func() peer.Report
	// Absent are the members that do not answer this node, and since when.
	Absent func() []member.Absence
	// Reachable reports whether a member has answered lately.
	Reachable func(member uint16) bool
	// Current returns when this node knows all that the control group had decided when it was
	// called.
	Current func(ctx context.Context) error
	// Keys are the keys with which secrets are sealed (secret.Ring.Export).
	Keys func() ([]byte, error)
	// Queues are the queue groups that this node has.
	Queues func() []Queue
	// Log gets a record of each recipient whose mail an operator ends.
	Log func(*maillog.Record)
	// Errorf hears of what an operator is to look after.
	Errorf func(format string, args ...any)
	// Now is the time of records in the log.
	Now func() time.Time
}

// Group is what an Operator needs of the control group; *cluster.Group is one.
type Group interface {
	// Leader returns the member that leads, as far as this one knows.
	Leader() (member uint16, ok bool)
	// Leading returns the term in which this node leads; 0: it does not.
	Leading() uint64
	// Holds reports whether this node surely leads in that term now.
	Holds(term uint64) bool
	// Scan calls fn for all rows between two keys, nil for all, until it returns false.
	Scan(from, to []byte, fn func(key, value []byte) bool) error
}

// Operator does what operators ask for. It is an admin.Cluster, an admin.Suspensions and an
// admin.Configs. Safe for use by several goroutines.
type Operator struct{ o Options }

// New returns an Operator.
func New(o Options) *Operator { return &Operator{o} }
