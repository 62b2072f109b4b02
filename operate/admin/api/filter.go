package api

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/net/idna"

	"github.com/postroad/postroad/internal/mail"
)

// Empty reports whether the filter selects everything.
func (f *Filter) Empty() bool {
	return len(f.IDs)+len(f.States) == 0 &&
		f.Domain+f.Sender+f.Recipient+f.Tenant+f.Campaign == "" && f.Older == 0
}

// States are the states that a filter may name.
var States = []string{"ready", "inflight", "deferred", "held"}

// Check finds what cannot be meant. The client calls it, too, so that mistakes are told without a
// node.
func (f *Filter) Check() error {
	for _, s := range f.IDs {
		if _, err := mail.ParseID(s); err != nil {
			return Fail(ExitData, fmt.Sprintf("%.60q is %v", s, err),
				"`postroad queue list` shows the IDs")
		}
	}
	for _, s := range f.States {
		if !slices.Contains(States, s) {
			return Fail(ExitUsage, fmt.Sprintf("%.60q is not a state", s),
				"use ready, inflight, deferred or held")
		}
	}
	return nil
}

// Wants reports whether a group is one of those that are meant.
func (f *Filter) Wants(group uint64) bool {
	return len(f.Groups) == 0 || slices.Contains(f.Groups, group)
}

// Address drops the angle brackets with which log lines show an address. "<>" is the null
// reverse-path.
func Address(s string) string {
	if len(s) > 2 && s[0] == '<' && s[len(s)-1] == '>' {
		return s[1 : len(s)-1]
	}
	return s
}

// RoutingDomain is the form in which the queue has a domain: lower-case A-labels, or what cannot be
// one as it is.
func RoutingDomain(s string) string {
	if a, err := idna.Lookup.ToASCII(s); err == nil {
		return strings.ToLower(a)
	}
	return strings.ToLower(s)
}
