package mx

import (
	"slices"

	"github.com/postroad/postroad/internal/dns"
)

// source is what Configure replaces: whom the resolver asks, how it judges answers, and what it was
// answered. Look-ups under way belong to the one in which they began.
type source struct {
	*Resolver
	servers      []string
	allowPrivate bool
	routes       *dns.Cache[routeKey, found]
	hosts        *dns.Cache[string, addresses]
	over         chan struct{} // closed when another has taken its place
}

func (r *Resolver) newSource(servers []string, allowPrivate bool) *source {
	return &source{
		Resolver: r, servers: slices.Clone(servers), allowPrivate: allowPrivate,
		routes: dns.NewCache[routeKey, found](r.o.CacheEntries),
		hosts:  dns.NewCache[string, addresses](r.o.CacheEntries),
		over:   make(chan struct{}),
	}
}

// CheckServers says what is wrong with a list of servers. What it lets pass Configure takes.
func CheckServers(servers []string) error { return dns.CheckServers(servers) }

// Configure has other servers asked, or answers judged otherwise (Options.Servers, AllowPrivate).
// Answers from before are forgotten, and look-ups under way begin again; changed is false when
// all is as it was. After an error nothing has changed. It is for one goroutine at a time.
func (r *Resolver) Configure(servers []string, allowPrivate bool) (changed bool, err error) {
	was := r.source.Load()
	if slices.Equal(was.servers, servers) && was.allowPrivate == allowPrivate {
		return false, nil
	}
	if err := r.dns.SetServers(servers); err != nil {
		return false, err
	}
	r.source.Store(r.newSource(servers, allowPrivate))
	close(was.over)
	return true, nil
}
