package directory

import "github.com/postroad/postroad/internal/mail"

// LoginName returns the name of the user whom a canonical address logs in: the user of that name,
// or whose further address it is, or with aliases the only target of an alias of that name, or of
// its domain. What a list, a catch-all or a detail leads to logs nobody in.
func LoginName(b Book, address string, aliases bool) (name string, ok bool) {
	for range maxDepth {
		if _, ok := b.Get(address); ok {
			return address, true
		}
		if aliases {
			if target, ok := onlyTarget(b, address); ok {
				address = target
				continue
			}
		}
		u, ok := b.Address(address)
		if !ok {
			return "", false
		}
		return u.Name, true
	}
	return "", false // a loop
}

// onlyTarget returns the one address, in canonical form, for which an address stands by an alias.
func onlyTarget(b Book, address string) (target string, ok bool) {
	domain := mail.DomainOf(address)
	a, exact := b.Alias(address)
	if !exact {
		a, ok = b.Alias("@" + domain)
		if !ok || !isDomain(a.Targets[0]) {
			return "", false
		}
	}
	if len(a.Targets) != 1 || a.Owner != "" || !b.Local(domain) {
		return "", false
	}
	target, err := Canonical(a.targetsFor(address)[0])
	return target, err == nil
}
