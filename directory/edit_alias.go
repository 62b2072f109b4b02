package directory

import (
	"context"
	"strings"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
)

// separators are the characters that may part a name from a detail.
const separators = "+-=_#."

// AddDomain makes a domain local. separator: see Domain.
func (e *Editor) AddDomain(ctx context.Context, name, separator string) error {
	d, err := newDomain(name, separator)
	if err != nil {
		return err
	}
	d.Created = e.Now().UTC()
	d.Changed = d.Created
	return e.propose(ctx, cmdAddDomain, d)
}

// SetDomain gives a domain another separator.
func (e *Editor) SetDomain(ctx context.Context, name, separator string) error {
	d, err := newDomain(name, separator)
	if err != nil {
		return err
	}
	known, ok := e.Directory.Domain(d.Name)
	if !ok {
		return ErrUnknownDomain
	}
	d.Created, d.Changed = known.Created, e.Now().UTC()
	return e.propose(ctx, cmdPutDomain, d)
}

// CheckDomain says what is wrong with a domain.
func CheckDomain(name, separator string) error {
	_, err := newDomain(name, separator)
	return err
}

func newDomain(name, separator string) (*Domain, error) {
	canonical, err := smtp.Domain(name)
	if err != nil || canonical[0] == '[' {
		return nil, wrongf("%q is not the name of a domain", name)
	}
	if len(separator) > 1 || separator != "" && !strings.Contains(separators, separator) {
		return nil, wrongf(
			"a separator is one of %s, or empty",
			strings.Join(strings.Split(separators, ""), " "),
		)
	}
	return &Domain{Name: canonical, Separator: separator}, nil
}

// RemoveDomain takes a domain out. It is refused while there are mailboxes or aliases in it, unless
// all is set: they would be unreachable.
func (e *Editor) RemoveDomain(ctx context.Context, name string, all bool) error {
	d, err := newDomain(name, "")
	if err != nil {
		return err
	}
	if !all {
		if u := e.Directory.inDomain(d.Name); u != "" {
			return wrongf("there are addresses in %s, such as %s: remove them first", d.Name, u)
		}
	}
	return e.propose(ctx, cmdRemoveDomain, d.Name)
}

// inDomain returns a user with a mailbox or an alias in a domain; "": there is none.
func (d *Directory) inDomain(domain string) (found string) {
	for _, t := range []tableName{users, aliases} {
		d.tables[t].view.Range(func(name, v any) bool {
			u, isUser := v.(*User)
			if mail.DomainOf(name.(string)) == domain &&
				(!isUser || !u.NoMailbox || len(u.Forward) > 0) {
				found = name.(string)
			}
			return found == ""
		})
	}
	return found
}

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

func (e *Editor) local(domain string) bool {
	if e.Local != nil {
		return e.Local(domain)
	}
	_, ok := e.Directory.Domain(domain)
	return ok
}

func newAlias(name string, to []string, owner string) (*Alias, error) {
	canonical, err := CanonicalSender(name)
	if err != nil {
		return nil, err
	}
	a := &Alias{Name: canonical}
	if a.Targets, err = targets(to, maxTargets); err != nil {
		return nil, err
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
		return nil, wrongf("at most %d addresses; put some into aliases of their own", limit)
	}
	for _, address := range addresses {
		if address, err = CheckTarget(address); err != nil {
			return nil, err
		}
		checked = append(checked, address)
	}
	return checked, nil
}

// CheckTarget returns an address that mail can go on to, as it is, or says what is wrong with it.
func CheckTarget(address string) (string, error) {
	r, f := smtp.ParseRcpt([]byte("TO:<"+address+">"), smtp.Extensions{SMTPUTF8: true})
	if f != nil || r.Domain == "" || r.Address != address {
		return "", wrongf("%q is not an address of the form user@domain", address)
	}
	return address, nil
}
