package admin

import (
	"net/http"
	"time"

	"github.com/postroad/postroad/internal/mail"
)

// LocalQueue is a queue group that this node owns now, and what its scheduler knows.
type LocalQueue struct {
	Group uint64
	Queue Queue
	// Holds reports whether the node surely owns the group still, and has ever since it gave this
	// value; nil: by what Options.Queues says.
	Holds func() bool
	// InFlight says which recipients are being attempted now (queue.Options.InFlight); nil: none.
	InFlight func(id mail.ID, recipient uint32) bool
	// Reason says why nothing is tried at a domain now, and until when; nil: nobody knows. A site
	// that does not answer holds up all its recipients without a word in their own records.
	Reason func(domain string) (why mail.Attempt, until time.Time, ok bool)
	// Waits says what keeps mail of a domain that is due at a time from being tried now, "" when
	// nothing does; nil: nobody knows.
	Waits func(domain string, due time.Time) string
	// Suspension says why, and until when (zero: until it is resumed), mail of this domain and
	// origin is suspended; nil: nobody knows.
	Suspension func(domain string, o *mail.Origin) (why string, until time.Time, ok bool)
}

// QueueGroup is a queue group of the cluster, whoever owns it.
type QueueGroup struct {
	ID   uint64
	Home string // the name of the node whose home group it is
}

// Peer is another node of the cluster. Its PeerHandler answers at Base, a URL without a slash at
// the end, through HTTP.
type Peer struct {
	Node   string // its name
	Member uint16
	HTTP   *http.Client
	Base   string
}

func (q *LocalQueue) inFlight(id mail.ID, recipient uint32) bool {
	return q.InFlight != nil && q.InFlight(id, recipient)
}

func (q *LocalQueue) reason(domain string) (why mail.Attempt, until time.Time, ok bool) {
	if q.Reason == nil {
		return mail.Attempt{}, time.Time{}, false
	}
	return q.Reason(domain)
}

func (q *LocalQueue) suspension(
	domain string, o *mail.Origin,
) (why string, until time.Time, ok bool) {
	if q.Suspension == nil {
		return "", time.Time{}, false
	}
	return q.Suspension(domain, o)
}
