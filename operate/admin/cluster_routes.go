package admin

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/postroad/postroad/operate/admin/api"
)

// Cluster is what the server needs of the cluster. Nodes are named by name or by number. An *Error
// keeps its exit status; any other error is a temporary failure. Safe for use by several
// goroutines.
type Cluster interface {
	// Status asks all members how they are; one that does not answer is told of as unreachable.
	Status(ctx context.Context) (api.ClusterStatus, error)
	// Init makes this node the first of a cluster; again, it does nothing.
	Init(ctx context.Context) error
	// Token makes a secret with which so many nodes join for as long as ttl; uses 0: any number,
	// ttl 0: for ever.
	Token(ctx context.Context, ttl time.Duration, uses int) (string, error)
	// Tokens lists the tokens that are good now, and Revoke ends them all.
	Tokens(ctx context.Context) []api.JoinToken
	Revoke(ctx context.Context) error
	// Drain hands over what a node leads, stops its accepting and returns when no mail is left in
	// its home group; nil means that it may be removed. progress, which may be nil, hears of each
	// step and at least every few seconds. When ctx ends the node goes on draining.
	Drain(ctx context.Context, node string, progress func(api.DrainProgress)) error
	// Undrain has a draining node take part again, and ends a drain that is watched.
	Undrain(ctx context.Context, node string) error
	// Remove retires a drained node for ever; with force, one that is dead and was not drained.
	Remove(ctx context.Context, node string, force bool) error
	// Replace gives a dead node's places to another, which has joined, and removes the dead one.
	Replace(ctx context.Context, old, new string) error
	// Backup writes what the control group knows, with withKeys also what opens its secrets.
	Backup(ctx context.Context, w io.Writer, withKeys bool) error
}

var errNoCluster = api.Fail(api.ExitConfig, "this node is in no cluster",
	"give it a cluster.listen address, and restart it")

// clusterVerb makes one change and returns what is answered.
type clusterVerb = func(context.Context, *api.ClusterRequest) (any, error)

func (s *Server) clusterRoutes(m *http.ServeMux) {
	if s.o.Cluster == nil {
		m.Handle("/v1/cluster/",
			handler(func(http.ResponseWriter, *http.Request) error { return errNoCluster }))
		return
	}
	m.Handle("GET /v1/cluster/status", handler(s.clusterStatus))
	m.Handle("GET /v1/cluster/backup", s.known(s.backup))
	m.Handle("POST /v1/cluster/drain", s.known(s.drain))
	c := s.o.Cluster
	verbs := map[string]clusterVerb{
		"init": func(ctx context.Context, _ *api.ClusterRequest) (any, error) {
			return struct{}{},
				c.Init(ctx)
		},
		"token": func(ctx context.Context, r *api.ClusterRequest) (any, error) {
			token, err := c.Token(ctx, time.Duration(r.TTL)*time.Second, r.Uses)
			return token, err
		},
		"tokens": func(ctx context.Context, _ *api.ClusterRequest) (any, error) {
			return c.Tokens(ctx), nil
		},
		"revoke": func(ctx context.Context, _ *api.ClusterRequest) (any, error) {
			return struct{}{}, c.Revoke(ctx)
		},
		"undrain": func(ctx context.Context, r *api.ClusterRequest) (any, error) {
			return struct{}{}, c.Undrain(ctx, r.Node)
		},
		"remove": func(ctx context.Context, r *api.ClusterRequest) (any, error) {
			return struct{}{}, c.Remove(ctx, r.Node, r.Force)
		},
		"replace": func(ctx context.Context, r *api.ClusterRequest) (any, error) {
			return struct{}{}, c.Replace(ctx, r.Node, r.New)
		},
	}
	maps.Copy(verbs, newerVerbs(c))
	for verb, do := range verbs {
		h := s.clusterChange(verb, do)
		if verb != "init" && verb != "token" { // they decide nothing by what this node knows
			h = s.known(h)
		}
		m.Handle("POST /v1/cluster/"+verb, h)
	}
}

// statusWait is how long the status waits for the roll call: it is what one looks at when that does
// not come.
const statusWait = 2 * time.Second

func (s *Server) clusterStatus(w http.ResponseWriter, r *http.Request) error {
	var old error
	var asking sync.WaitGroup
	asking.Go(func() {
		ctx, cancel := context.WithTimeout(r.Context(), statusWait)
		defer cancel()
		old = s.current(ctx)
	})
	st, err := s.o.Cluster.Status(r.Context())
	asking.Wait()
	if err != nil {
		return err
	}
	if old != nil {
		st.Old = api.AsError(old).Message
	}
	return answer(w, st)
}

func readCluster(
	w http.ResponseWriter, r *http.Request, verb string,
) (c api.ClusterRequest, err error) {
	if err = read(w, r, &c); err == nil {
		err = c.Check(verb)
	}
	return c, err
}

// clusterChange makes one change and logs that an operator asked for it.
func (s *Server) clusterChange(verb string, do clusterVerb) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, err := readCluster(w, r, verb)
		if err != nil {
			return err
		}
		s.o.Logf("admin: cluster %s %s %s", verb, c.Node, c.New)
		result, err := do(r.Context(), &c)
		if err != nil {
			return err
		}
		return answer(w, result)
	}
}

// drain answers with a stream of DrainProgress. It ends with a Total when the node is drained.
func (s *Server) drain(w http.ResponseWriter, r *http.Request) error {
	c, err := readCluster(w, r, "drain")
	if err != nil {
		return err
	}
	s.o.Logf("admin: cluster drain %s", c.Node)
	return streaming(w, func(out *stream) (*api.Total, error) {
		return &api.Total{Node: s.o.Node},
			s.o.Cluster.Drain(r.Context(), c.Node, func(p api.DrainProgress) {
				out.item(p)
				out.flush()
			})
	})
}

// backup answers with the backup's octets. After the first of them an error can only be told by
// cutting the answer off.
func (s *Server) backup(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Content-Type", "application/octet-stream")
	out := &counting{w: deadlineWriter{w, http.NewResponseController(w)}}
	err := s.o.Cluster.Backup(r.Context(), out, r.URL.Query().Has("keys"))
	if err != nil && out.n > 0 {
		s.o.Logf("admin: the backup was cut off: %v", err)
		panic(http.ErrAbortHandler)
	}
	if err == nil && out.n == 0 {
		err = errors.New("the backup is empty")
	}
	return err
}

type counting struct {
	w io.Writer
	n int64
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
