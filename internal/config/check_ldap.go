package config

import (
	"net/url"
	"strings"
	"time"
)

// ldap checks the outside list of users.
func (k *checker) ldap() {
	l := k.LDAP
	if l.URL == "" {
		return
	}
	u, err := url.Parse(l.URL)
	k.must(err == nil && u.Host != "" && (u.Scheme == "ldap" || u.Scheme == "ldaps"), "ldap.url",
		"is not the URL of a server", `such as "ldaps://ldap.example.net"`)
	k.must(!l.StartTLS || err == nil && u.Scheme == "ldap", "ldap.start_tls",
		"is for ldap://; ldaps:// has TLS from the first octet", "leave one out")
	k.must(l.Base != "", "ldap.base", "is empty",
		`name the entry below which the users are, such as "ou=people,dc=example,dc=net"`)
	k.must(l.Address != "", "ldap.address", "is empty",
		`name the attribute with a user's address, such as "mail"`)
	k.must(attributeName(l.ID), "ldap.id", "is not the name of an attribute",
		`such as "entryUUID", or "" to know entries by their DN`)
	k.must(len(l.Filter) > 2 && l.Filter[0] == '(' && l.Filter[len(l.Filter)-1] == ')',
		"ldap.filter", "is not a filter", "it is in parentheses (RFC 4515)")
	k.must(l.BindDN == "" || l.PasswordFile != "", "ldap.password_file",
		"is missing, and ldap.bind_dn is set",
		"a bind with a name and no password proves nothing (RFC 4513 5.1.2)")
	k.must(time.Duration(l.Interval) >= time.Second, "ldap.interval", "is too short",
		"a minute or more is usual")
}

// attributeName takes names, OIDs and options (RFC 4512 2.5), and none.
func attributeName(s string) bool {
	return strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789-.;") == ""
}
