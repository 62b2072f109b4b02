package main

import (
	"context"
	"strings"

	"github.com/postroad/postroad/delivery/mx"
	"github.com/postroad/postroad/internal/smtp"
)

// localResolver keeps mail for local domains at home. Only their postmaster is accepted as long as there are no mailboxes (RFC 5321
// 4.5.1), and without a configured address that mail waits, with a reason that operators see, instead of looping through MX.
type localResolver struct {
	*mx.Resolver
	domains map[string]bool // A-labels
}

func newLocalResolver(r *mx.Resolver, domains []string) localResolver {
	l := localResolver{r, map[string]bool{}}
	for _, d := range domains {
		if a, err := smtp.Domain(d); err == nil {
			l.domains[strings.ToLower(a)] = true
		}
	}
	return l
}

var failNoPostmaster = smtp.Temp(smtp.LocalError, "4.3.5", "Mail for postmaster has nowhere to go: the operator must set local.postmaster")

func (l localResolver) Lookup(ctx context.Context, domain string) (*mx.Route, *smtp.Failure) {
	if l.domains[domain] {
		return nil, failNoPostmaster
	}
	return l.Resolver.Lookup(ctx, domain)
}

func (l localResolver) Cached(domain string) (*mx.Route, *smtp.Failure, bool) {
	if l.domains[domain] {
		return nil, failNoPostmaster, true
	}
	return l.Resolver.Cached(domain)
}
