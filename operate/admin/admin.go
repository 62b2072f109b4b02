// Package admin is how operators and their programs talk to a node: an HTTP server on a unix socket
// in the data directory and on the [admin] address. Package api has what is said, package client
// the client that the command line uses.
//
// /livez, /readyz and /metrics answer everybody on the address. Everything else needs to come over
// the unix socket, which only the node's user can open (mode 0600), and a group that it names (mode
// 0660), or with the token as `Authorization: Bearer TOKEN`. Requests over TCP must name a Host
// that is this node's, and an Origin, when there is one, that is the same: a web page in an
// operator's browser can then neither reach the node by a name that it made to resolve here (DNS
// rebinding) nor send a form to it.
//
// The requests (bodies and answers are JSON, and types of package api):
//
//	POST /v1/queue/list                           Filter         stream of Message
//	POST /v1/queue/count                          Filter         Total
//	GET  /v1/queue/show?id=ID                                    Detail
//	POST /v1/queue/{hold,release,flush,fail,remove}  Filter      stream of progress, then the Total that was moved
//	POST /v1/config/reload                        ReloadRequest  ReloadAnswer
//	POST /v1/config/push                          PushRequest    PushAnswer
//	GET  /v1/config/history                                      ConfigHistory
//	GET  /v1/config/version?version=N                            ConfigVersion
//	GET  /v1/config/show                                         ConfigShown
//	POST /v1/trace                                TraceRequest   stream of TraceItem
//	GET  /v1/cluster/status                                      ClusterStatus
//	POST /v1/cluster/{init,token,remove,replace,undrain} ClusterRequest {} or the token
//	POST /v1/cluster/{tokens,revoke}              ClusterRequest JoinTokens or {}
//	POST /v1/cluster/drain                        ClusterRequest stream of DrainProgress
//	GET  /v1/cluster/backup                                      octets
//	GET  /v1/suspensions                                         stream of Suspension
//	POST /v1/{suspend,resume}                     SuspendRequest Acknowledgement
//	GET  /v1/users                                               stream of User
//	GET  /v1/users/show?name=ADDRESS                             User
//	POST /v1/users                                UserRequest    {}: it is added
//	POST /v1/users/{passwd,set,remove}            UserRequest    {}
//	POST /v1/users/stage                          StageRequest   StageAnswer
//	POST /v1/users/{publish,discard}              StageRequest   stream of progress and a Total
//	POST /v1/users/sync                           SyncRequest    SyncAnswer
//	GET  /v1/users/stages, /v1/users/export                      stream of Stage, ExportedUser
//	GET  /v1/domains, /v1/domains?configured                     stream of Domain
//	POST /v1/domains, /v1/domains/{set,remove}    DomainRequest  {}; without a verb: it is added
//	GET  /v1/aliases                                             stream of Alias
//	GET  /v1/aliases/show?name=ADDRESS                           Alias
//	POST /v1/aliases, /v1/aliases/{set,remove}    AliasRequest   {}; without a verb: it is added
//	GET  /v1/dkim                                                stream of SigningKey
//	GET  /v1/dkim/show?domain=DOMAIN&selector=S                  SigningKeys
//	POST /v1/dkim, /v1/dkim/{check,rotate,retire} DKIMRequest    SigningKeys
//	GET  /v1/mailboxes                                           stream of Mailbox
//	GET  /v1/mailboxes/show?address=ADDRESS                      Mailbox
//	GET  /v1/mailboxes/export?address=ADDRESS                    octets, a stream of mailbox/archive
//	POST /v1/mailboxes/import?address=ADDRESS&skip=N  octets     stream of progress, then the Total of messages
//
// A stream is one Line per line of text. It ends with a line that has a total or an error; one that
// ends otherwise was cut off. Errors are an Error with the HTTP status of its exit status.
//
// Any node answers for the whole cluster: what is asked of one it asks of all others, over
// PeerHandler, which answers for the queue groups that its node owns. Lists are merged, counts
// added; groups that nobody answered for are named in the Total.
package admin

import (
	"context"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue"
)

// Queue is what the server needs of a queue group that this node owns; *queue.Queue is one.
type Queue interface {
	List(ctx context.Context, f queue.Filter,
		fn func(m *queue.Stored, selected []uint32) bool) (queue.Total, error)
	Count(ctx context.Context, f queue.Filter) (queue.Total, error)
	Load(id mail.ID) (*queue.Stored, error)
	Hold(ctx context.Context, f queue.Filter, moved queue.Moved) (queue.Total, error)
	ReleaseHeld(ctx context.Context, f queue.Filter, moved queue.Moved) (queue.Total, error)
	Flush(ctx context.Context, f queue.Filter, moved queue.Moved) (queue.Total, error)
	Fail(ctx context.Context, f queue.Filter, why mail.Attempt,
		moved queue.Moved) (queue.Total, error)
	Remove(ctx context.Context, f queue.Filter, moved queue.Moved) (queue.Total, error)
}

// Users is what the server needs of the directory: most of a *directory.Editor, and the listings of
// its *directory.Directory.
type Users interface {
	Add(ctx context.Context, name, password string, s directory.Settings) error
	Passwd(ctx context.Context, name, password string) error
	EnableScram(ctx context.Context, name, password string) error
	// Edit changes settings, Remove a user and, unless it is to be kept, the mailbox.
	Edit(ctx context.Context, name string, edit func(*directory.Settings)) error
	Remove(ctx context.Context, name string, keepMail bool) error
	List(after string, limit int) []*directory.User

	AddDomain(ctx context.Context, name, separator string) error
	SetDomain(ctx context.Context, name, separator string) error
	RemoveDomain(ctx context.Context, name string, all bool) error
	Domains(after string, limit int) []*directory.Domain
	// Get and Alias find one by its canonical name.
	Get(name string) (*directory.User, bool)
	Alias(name string) (*directory.Alias, bool)

	AddAlias(ctx context.Context, name string, to []string, owner string) error
	EditAlias(ctx context.Context, name string,
		edit func(to []string, owner string) ([]string, string)) error
	RemoveAlias(ctx context.Context, name string) error
	Aliases(after string, limit int) []*directory.Alias

	Import(ctx context.Context, set string, batch []directory.Imported,
		replace bool) ([]directory.Refused, error)
	Commit(ctx context.Context, set string, progress func(int)) (committed, kept int, err error)
	Discard(ctx context.Context, set string, progress func(int)) (dropped int, err error)
	Imports() ([]directory.Import, error)
	// Sync makes the directory follow the outside list of users, if there is one.
	Sync(ctx context.Context, force bool) (directory.Synced, error)
}

// Health says how the node is; nil means well. The text of an error is the answer's body. Notes are
// further lines of it, also when the node is ready: what an operator is to look after elsewhere in
// the cluster.
type Health interface {
	Live() error
	Ready() error
	Notes() []string
}
