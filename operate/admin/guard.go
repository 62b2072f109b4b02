package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/postroad/postroad/operate/admin/api"
)

// open are the paths that need no token.
var open = map[string]bool{"/livez": true, "/readyz": true, "/metrics": true}

// guard lets through what may come over TCP.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		set := s.set.Load()
		e := set.sameSite(r)
		if e == nil && !open[r.URL.Path] {
			e = set.authorized(r)
		}
		if e != nil {
			s.o.Logf("admin: refused %s %q from %s: %s", r.Method, r.URL.Path, r.RemoteAddr,
				e.Message)
			refuse(w, e)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// sameSite checks Host and Origin.
func (s *Settings) sameSite(r *http.Request) *api.Error {
	if !s.ours(r.Host) {
		return api.Fail(api.ExitPermission, "the Host header does not name this node",
			"use an IP address, localhost, or the node's name")
	}
	for _, origin := range r.Header.Values("Origin") {
		u, err := url.Parse(origin)
		if err != nil || u.Host != r.Host {
			return api.Fail(api.ExitPermission, "the request comes from another site", "")
		}
	}
	return nil
}

// ours reports whether a Host header names this node: no name that somebody else could make to
// resolve here does.
func (s *Settings) ours(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil ||
		strings.EqualFold(host, "localhost") {
		return true
	}
	for _, name := range s.Hosts {
		if strings.EqualFold(host, name) {
			return true
		}
	}
	return false
}

// stranger reports whether a request comes neither through the socket nor from this machine, and
// has no token.
func (s *Server) stranger(r *http.Request) bool {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && !from.Addr().Unmap().IsLoopback() && s.set.Load().authorized(r) != nil
}

// authorized checks the token, in a time that does not tell how much of it was right.
func (s *Settings) authorized(r *http.Request) *api.Error {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	got, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(s.Token))
	switch {
	case s.Token == "":
		return api.Fail(api.ExitPermission, "this node takes no administration over TCP",
			"use the unix socket, or set admin.token_file")
	case !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(got[:], want[:]) != 1:
		return api.Fail(api.ExitPermission, "the token is missing or wrong",
			"give the one of admin.token_file, as POSTROAD_TOKEN for the command line")
	}
	return nil
}
