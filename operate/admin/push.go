package admin

import (
	"context"
	"net/http"
	"strconv"

	"github.com/postroad/postroad/operate/admin/api"
)

// Configs is what the server needs of the configuration that all nodes share. An *Error keeps its
// exit status; any other error is a temporary failure. Safe for use by several goroutines.
type Configs interface {
	// Push has all members judge a configuration, makes it the one in force, and waits a while for
	// those that answer.
	Push(ctx context.Context, r *api.PushRequest) (api.PushAnswer, error)
	// ConfigHistory returns the versions that are kept, the newest first, and who has them.
	ConfigHistory(ctx context.Context) []api.ConfigVersion
	// ConfigVersion returns a version with its text; 0 is the newest, or an empty one where nothing
	// was pushed yet.
	ConfigVersion(version uint64) (api.ConfigVersion, error)
}

func (s *Server) pushRoutes(m *http.ServeMux) {
	if s.o.ShowConfig != nil {
		m.Handle("GET /v1/config/show",
			handler(func(w http.ResponseWriter, _ *http.Request) error {
				return answer(w, api.ConfigShown{Node: s.o.Node, Text: s.o.ShowConfig()})
			}))
	}
	if s.o.Configs == nil {
		return
	}
	m.Handle("POST /v1/config/push", s.known(s.push))
	m.Handle("GET /v1/config/history",
		s.known(func(w http.ResponseWriter, r *http.Request) error {
			return answer(w, api.ConfigHistory{Versions: s.o.Configs.ConfigHistory(r.Context())})
		}))
	m.Handle("GET /v1/config/version",
		s.known(func(w http.ResponseWriter, r *http.Request) error {
			version, err := strconv.ParseUint(r.URL.Query().Get("version"), 10, 64)
			if err != nil {
				return api.Fail(api.ExitUsage, "that is no number of a version", "")
			}
			v, err := s.o.Configs.ConfigVersion(version)
			if err != nil {
				return err
			}
			return answer(w, v)
		}))
}

// push logs that an operator asked for it.
func (s *Server) push(w http.ResponseWriter, r *http.Request) error {
	var q api.PushRequest
	if err := read(w, r, &q); err != nil {
		return err
	}
	if err := q.Check(); err != nil {
		return err
	}
	s.o.Logf("admin: config push by %s: %q, %d octets, rollback %d, note %q", q.Who, q.Name,
		len(q.Text), q.Rollback, q.Note)
	a, err := s.o.Configs.Push(r.Context(), &q)
	if err != nil {
		return err
	}
	return answer(w, a)
}
