package admin

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/pprof"
	"strings"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/queue"
)

// Options of a Server.
type Options struct {
	// Socket is the path of the unix socket, Address the TCP address of the start (Server.Move).
	// "": none.
	Socket, Address string
	// Group may open the socket, at the start (Server.Admit); nil: only the node's user may.
	Group *int
	// Settings are those of the start.
	Settings
	// Node is the node's name, told with what it lists.
	Node string
	// Health, Metrics and Users do the work. Required.
	Health  Health
	Metrics http.Handler
	Users   Users
	Keys    Keys
	// Queues are the queue groups that this node owns now. Required. It is asked again when the
	// work is done: what is not owned any more then has not answered.
	Queues func() []LocalQueue
	// Groups are all queue groups of the cluster; nil: nobody knows of others than those that
	// answer.
	Groups func() []QueueGroup
	// Still keeps messages from going from one group to another until end is called, which says
	// what was on its way nevertheless. nil: none ever goes.
	Still func(ctx context.Context) (end func() (moving []api.Missing))
	// Peers are the other nodes; nil: there are none.
	Peers func() []Peer
	// PeerWait is how long one may say nothing before it counts as unreachable (default 5 s). One
	// that is at work says so every second.
	PeerWait time.Duration
	// Current returns when this node knows all that the cluster had decided when it was called:
	// which nodes, queue groups, users and suspensions there are. Its error says what is missing.
	// nil: this node always knows.
	Current func(context.Context) error
	// CurrentWait is how long it is waited for (default 6 s: an election).
	CurrentWait time.Duration
	// OwnerWait is how long counts and verbs wait for a group without an owner to get one (default
	// 5 s).
	OwnerWait time.Duration
	// Cluster does what the cluster commands ask for; nil: this node is in none.
	Cluster Cluster
	// Suspensions keeps the list of what is suspended; nil: nothing can be.
	Suspensions Suspensions
	// Mailboxes does what the mailbox commands ask for; nil: this node knows of none.
	Mailboxes Mailboxes
	// Reload reads this node's configuration file again: the keys whose values changed, and those
	// whose change waits for a restart. An error: nothing changed. nil: it cannot.
	Reload func() (changed, restart []string, err error)
	// Configs has the configuration that all nodes share; nil: there is none. ShowConfig returns
	// the one in force on this node, with where each value stands; nil: nobody is told.
	Configs    Configs
	ShowConfig func() string
	// Flush writes what of the event log is still in memory; nil: nothing is.
	Flush func(context.Context) error
	// Moved hears of each recipient that an operator moved, for the log; nil: nobody does.
	Moved func(verb string, m *queue.Stored, recipient uint32, to queue.State)
	// Now is command time; nil: the wall clock.
	Now func() time.Time
	// Logf hears of refused requests; nil: nobody does.
	Logf func(format string, args ...any)
}

// Settings may change while a Server runs (Server.Configure).
type Settings struct {
	// Token is what requests over TCP must carry; "": none is good enough.
	Token string
	// Hosts are the names under which the address may be reached, besides IP addresses and
	// localhost.
	Hosts []string
	// LocalDomains are those that the configuration says, besides those of the directory. Relays
	// reports whether the configuration says that a domain's mail is relayed on; nil: none's is.
	LocalDomains []string
	Relays       func(domain string) bool
	// Events is the path of the event log; "": none is kept.
	Events string
}

// Bounds of the server.
const (
	maxBody   = 1 << 20 // octets of a request; the client sends long lists of IDs in several
	readWait  = 30 * time.Second
	writeWait = time.Minute // for a client that does not read; a stream renews it with each block
)

// Server is a running administration server.
type Server struct {
	o       Options // but its Settings, which are in set
	set     atomic.Pointer[Settings]
	forPeer *http.ServeMux
	doors
}

// Start listens and serves until Shutdown.
func Start(o Options) (*Server, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	if o.PeerWait == 0 {
		o.PeerWait = 5 * time.Second
	}
	if o.CurrentWait == 0 {
		o.CurrentWait = 6 * time.Second
	}
	if o.OwnerWait == 0 {
		o.OwnerWait = 5 * time.Second
	}
	if o.Peers == nil {
		o.Peers = func() []Peer { return nil }
	}
	s := newServer(o)
	s.peerRoutes(s.forPeer)
	s.traceRoutes(s.forPeer, true)
	s.reloadRoutes(s.forPeer, true)
	if err := s.listen(s.mux()); err != nil {
		return nil, err
	}
	return s, nil
}

func newServer(o Options) *Server {
	s := &Server{o: o, forPeer: http.NewServeMux()}
	s.Configure(o.Settings)
	s.o.Settings = Settings{}
	return s
}

// Configure puts other settings in force, for requests that come from now on.
func (s *Server) Configure(o Settings) { s.set.Store(&o) }

func (s *Server) mux() *http.ServeMux {
	m := http.NewServeMux()
	m.Handle("GET /livez", s.probe(s.o.Health.Live, nil))
	m.Handle("GET /readyz", s.probe(s.o.Health.Ready, s.o.Health.Notes))
	m.Handle("GET /metrics", s.o.Metrics)
	s.queueRoutes(m)
	s.userRoutes(m)
	s.addressRoutes(m)
	s.dkimRoutes(m)
	s.clusterRoutes(m)
	s.suspendRoutes(m)
	s.mailboxRoutes(m)
	s.traceRoutes(m, false)
	s.reloadRoutes(m, false)
	s.pushRoutes(m)
	m.HandleFunc("GET /debug/pprof/", pprof.Index)
	m.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	m.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return m
}

// PeerHandler answers other nodes, for the queues that this one owns and the event log that it
// keeps. It trusts its callers: serve it only to nodes that have shown who they are.
func (s *Server) PeerHandler() http.Handler { return s.forPeer }

// probe answers 200 or, with the reason, 503; then the notes, a line each. Strangers are told which
// of the two it is and nothing of why: reasons have names of nodes and paths in them.
func (s *Server) probe(check func() error, notes func() []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		status, lines := http.StatusOK, []string{"ok"}
		if err := check(); err != nil {
			status, lines = http.StatusServiceUnavailable, []string{err.Error()}
		}
		if s.stranger(r) {
			if status != http.StatusOK {
				lines = []string{"not ready"}
			}
		} else if notes != nil {
			lines = append(lines, notes()...)
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(status)
		io.WriteString(w, strings.Join(lines, "\n")+"\n")
	})
}

// handler answers a request or returns why it cannot; it has then written nothing.
type handler func(w http.ResponseWriter, r *http.Request) error

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := h(w, r); err != nil {
		refuse(w, api.AsError(err))
	}
}

func refuse(w http.ResponseWriter, e *api.Error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(statusOf(e))
	json.NewEncoder(w).Encode(e)
}

// answer writes v. The work for it may have taken longer than the server's time for writing, so
// that begins here.
func answer(w http.ResponseWriter, v any) error {
	if err := http.NewResponseController(
		w).SetWriteDeadline(time.Now().Add(writeWait)); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v) // when it fails there is nobody left to tell
	return nil
}

// read takes the request's body apart. Unknown members are an error: a filter that the node does
// not understand must not select more than was meant.
func read(w http.ResponseWriter, r *http.Request, into any) error {
	rc := http.NewResponseController(w)
	if err := rc.SetReadDeadline(time.Now().Add(readWait)); err != nil {
		return err
	}
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return api.Fail(api.ExitUsage, "the request cannot be read: "+err.Error(), "")
	}
	// From here on reading only finds out that the client has gone: that must not end a long
	// answer.
	return rc.SetReadDeadline(time.Time{})
}

// statusOf is the HTTP status of an exit status.
func statusOf(e *api.Error) int {
	switch e.Exit {
	case api.ExitUsage, api.ExitData:
		return http.StatusBadRequest
	case api.ExitPermission:
		return http.StatusForbidden
	case api.ExitTemporary, api.ExitUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
