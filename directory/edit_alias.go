package directory

import (
	"context"
	"slices"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
)

// AddAlias makes an alias, or with an owner a list.
func (e *Editor) AddAlias(ctx context.Context, name string, to []string, owner string) error {
	a, err := newAlias(name, to, owner)
	if err != nil {
		return err
	}
	if domain := mail.DomainOf(a.Name); !e.local(domain) {
		return wrongf(
			"%s is not a domain whose mail is kept here; `postroad domain add` makes it one",
			domain,
		)
	}
	if err := e.checkWhole(a); err != nil {
		return err
	}
	a.Created = e.Now().UTC()
	a.Changed = a.Created
	return e.propose(ctx, cmdAddAlias, a)
}

// EditAlias gives an alias other targets, or another owner.
func (e *Editor) EditAlias(
	ctx context.Context, name string, edit func(to []string, owner string) ([]string, string),
) error {
	name, err := CanonicalSender(name)
	if err != nil {
		return err
	}
	known, ok := e.Directory.Alias(name)
	if !ok {
		return ErrUnknownAlias
	}
	to, owner := edit(known.Targets, known.Owner)
	a, err := newAlias(name, to, owner)
	if err != nil {
		return err
	}
	if err := e.checkWhole(a); err != nil {
		return err
	}
	a.Created, a.Changed = known.Created, e.Now().UTC()
	return e.propose(ctx, cmdPutAlias, a)
}

// RemoveAlias takes an alias out.
func (e *Editor) RemoveAlias(ctx context.Context, name string) error {
	name, err := CanonicalSender(name)
	if err != nil {
		return err
	}
	return e.propose(ctx, cmdRemoveAlias, name)
}

func newAlias(name string, to []string, owner string) (*Alias, error) {
	canonical, err := CanonicalSender(name)
	if err != nil {
		return nil, err
	}
	a := &Alias{Name: canonical}
	if len(to) > maxTargets {
		return nil, manyTargets(maxTargets)
	}
	for _, target := range to {
		if target, err = CheckAliasTarget(canonical, target); err != nil {
			return nil, err
		}
		a.Targets = append(a.Targets, target)
	}
	if len(a.Targets) == 0 {
		return nil, wrongf("an alias needs at least one target")
	}
	if owner == "" {
		return a, nil
	}
	if canonical[0] == '@' {
		return nil, wrongf("a catch-all cannot be a list")
	}
	if a.Owner, err = CheckTarget(owner); err != nil {
		return nil, err
	}
	return a, nil
}

// targets checks addresses that mail goes on to. They keep the case of their local parts, which is
// their own hosts' affair (RFC 5321 2.4).
func targets(addresses []string, limit int) (checked []string, err error) {
	if len(addresses) > limit {
		return nil, manyTargets(limit)
	}
	for _, address := range addresses {
		if address, err = CheckTarget(address); err != nil {
			return nil, err
		}
		checked = append(checked, address)
	}
	return checked, nil
}

func manyTargets(limit int) error {
	return wrongf("at most %d addresses; put some into aliases of their own", limit)
}

// CheckAliasTarget is CheckTarget for a target of an alias. One of "@domain" may have the target
// "@other": an address that nobody in the domain has is looked up in the other domain.
func CheckAliasTarget(name, target string) (string, error) {
	if !isDomain(target) {
		return CheckTarget(target)
	}
	canonical, err := CanonicalSender(target)
	switch {
	case err != nil || canonical[1] == '[':
		return "", wrongf("%q is not a domain of the form @domain", target)
	case !isDomain(name):
		return "", wrongf("%s can stand for addresses only: %s is for an alias of a whole domain, "+
			"such as @old.example", name, target)
	}
	return canonical, nil
}

// isDomain reports whether a name or target of an alias is that of a domain.
func isDomain(name string) bool { return len(name) > 1 && name[0] == '@' }

// targetsFor are the targets for mail to an address: in those that are domains it keeps its local
// part.
func (a *Alias) targetsFor(address string) []string {
	if !slices.ContainsFunc(a.Targets, isDomain) {
		return a.Targets
	}
	to := slices.Clone(a.Targets)
	for i, target := range to {
		if isDomain(target) {
			to[i] = address[:len(address)-len(mail.DomainOf(address))-1] + target
		}
	}
	return to
}

// checkWhole refuses an alias of a whole domain that leads back to itself, or that an older member
// would take for something else.
func (e *Editor) checkWhole(a *Alias) error {
	if !slices.ContainsFunc(a.Targets, isDomain) {
		return nil
	}
	next, seen := a.Targets, map[string]bool{}
	for len(next) > 0 {
		domain := next[0]
		next = next[1:]
		switch {
		case domain == a.Name:
			return wrongf("%s would lead back to itself", a.Name)
		case !isDomain(domain) || seen[domain]:
			continue
		}
		seen[domain] = true
		if known, ok := e.Directory.Alias(domain); ok {
			next = append(next[:len(next):len(next)], known.Targets...)
		}
	}
	return e.kept()
}

// CheckTarget returns an address that mail can go on to, as it is, or says what is wrong with it.
func CheckTarget(address string) (string, error) {
	r, f := smtp.ParseRcpt([]byte("TO:<"+address+">"), smtp.Extensions{SMTPUTF8: true})
	if f != nil || r.Domain == "" || r.Address != address {
		return "", wrongf("%q is not an address of the form user@domain", address)
	}
	return address, nil
}
