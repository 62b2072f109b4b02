package admin

import (
	"net/http"

	"github.com/postroad/postroad/operate/admin/api"
)

// StartWaiting serves for a node that waits for others before it can start: probes are answered,
// and `cluster init` ends the wait. Of the options Socket, Address, Token, Hosts and Logf count.
// what says what it waits for.
func StartWaiting(o Options, what func() string, begin func()) (*Server, error) {
	m, s := http.NewServeMux(), newServer(o)
	waiting := func() error {
		return api.Fail(
			api.ExitTemporary,
			what(),
			"its log says more; if there is no cluster yet, `postroad cluster init` on this "+
				"node begins one",
		)
	}
	m.Handle("GET /livez", s.probe(func() error { return nil }, nil))
	m.Handle("GET /readyz", s.probe(func() error { return &api.Error{Message: what()} }, nil))
	m.Handle("POST /v1/cluster/init", handler(func(w http.ResponseWriter, r *http.Request) error {
		o.Logf("admin: cluster init")
		begin()
		return answer(w, struct{}{})
	}))
	m.Handle("/", handler(func(http.ResponseWriter, *http.Request) error { return waiting() }))
	return s, s.listen(m)
}
