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

var errNoCluster = api.Fail(api.ExitConfig, "this node is in no cluster", "give it a cluster.listen address, and restart it")

// clusterVerb makes one change and returns what is answered.
type clusterVerb = func(context.Context, *ClusterRequest) (any, error)

func (s *Server) clusterRoutes(m *http.ServeMux) {
	if s.o.Cluster == nil {
		m.Handle("/v1/cluster/", handler(func(http.ResponseWriter, *http.Request) error { return errNoCluster }))
		return
	}
	m.Handle("GET /v1/cluster/status", handler(s.clusterStatus))
	m.Handle("GET /v1/cluster/backup", s.known(s.backup))
	m.Handle("POST /v1/cluster/drain", s.known(s.drain))
	c := s.o.Cluster
	verbs := map[string]clusterVerb{
		"init": func(ctx context.Context, _ *ClusterRequest) (any, error) { return struct{}{}, c.Init(ctx) },
		"token": func(ctx context.Context, r *ClusterRequest) (any, error) {
			token, err := c.Token(ctx, time.Duration(r.TTL)*time.Second)
			return token, err
		},
		"remove": func(ctx context.Context, r *ClusterRequest) (any, error) { return struct{}{}, c.Remove(ctx, r.Node) },
		"replace": func(ctx context.Context, r *ClusterRequest) (any, error) {
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

func readCluster(w http.ResponseWriter, r *http.Request, verb string) (c ClusterRequest, err error) {
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
	return streaming(w, func(out *stream) (*Total, error) {
		return &Total{Node: s.o.Node}, s.o.Cluster.Drain(r.Context(), c.Node, func(p DrainProgress) {
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
	err := s.o.Cluster.Backup(r.Context(), out)
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
