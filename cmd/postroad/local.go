package main

import (
	"strings"

	"github.com/postroad/postroad/internal/smtp"
)

// localDomains are the domains of the configuration whose mail stays here, as A-labels in lower case.
func localDomains(domains []string) map[string]bool {
	set := map[string]bool{}
	for _, d := range domains {
		if a, err := smtp.Domain(d); err == nil {
			set[strings.ToLower(a)] = true
		}
	}
	return set
}

// isLocal reports whether a domain's mail stays here. The scheduler asks it for each message.
func (n *node) isLocal(domain string) bool { return n.local[domain] }
